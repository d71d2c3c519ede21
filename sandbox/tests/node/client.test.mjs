// The vendor's own Node.js client (npm package convertapi), unchanged, against the sandbox.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";

import ConvertAPI from "convertapi";

const { SANDBOX_URL: baseUri, SANDBOX_TOKEN: token, SANDBOX_MASTER_TOKEN: masterToken } = process.env;
const api = new ConvertAPI(token, { baseUri });

let folder;
let page;

before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "sandbox-node-"));
  page = path.join(folder, "a note (1) é.md");
  fs.writeFileSync(page, "# Title\n\nSome text.\n");
});

after(() => fs.rmSync(folder, { recursive: true }));

const isPdf = (file) => fs.readFileSync(file).subarray(0, 5).toString() === "%PDF-";
const control = async (operation, body = {}) => {
  const answer = await fetch(`${baseUri}/_sandbox/${operation}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer.json();
};

test("converts a file, and saves the result under its name", async () => {
  const result = await api.convert("pdf", { File: page });
  const [saved] = await result.saveFiles(folder);

  assert.equal(result.conversionCost, 1);
  assert.equal(path.basename(saved), "a note (1) é.pdf");
  assert.ok(isPdf(saved));
  assert.equal(fs.statSync(saved).size, result.file.fileSize);
});

test("uploads a stream", async () => {
  const upload = await api.upload(Readable.from([Buffer.from("# Title\n")]), "stream.md");
  const result = await api.convert("pdf", { File: upload, FileName: "renamed" });

  assert.equal(upload.fileExt, "md");
  assert.match(upload.fileId, /^[a-z0-9]{32}$/);
  assert.equal(result.file.fileName, "renamed.pdf");
});

test("merges the results of two conversions, given as promises", async () => {
  const parts = [api.convert("pdf", { File: page }), api.convert("pdf", { File: page })];
  const files = (await Promise.all(parts)).map((part) => part.file);
  const merged = await api.convert("merge", { Files: files }, "pdf");

  assert.ok(isPdf(await merged.file.save(path.join(folder, "merged.pdf"))));
});

test("zips, through `any`", async () => {
  const zipped = await api.convert("zip", { Files: [page, page] });
  const saved = await zipped.file.save(path.join(folder, "all.zip"));

  assert.equal(fs.readFileSync(saved).subarray(0, 2).toString(), "PK");
});

test("chains a result by its URL", async () => {
  const first = await api.convert("pdf", { File: page });
  const second = await api.convert("jpg", { File: first, ImageResolution: 20 });

  assert.equal(second.files.length, 1);
  const [saved] = await second.saveFiles(folder);
  assert.equal(fs.readFileSync(saved)[0], 0xff);
});

test("converts a page that is stored in the sandbox, as `url`", async () => {
  const upload = await api.upload(Readable.from([Buffer.from("<h1>Title</h1>")]), "page.html");
  const result = await api.convert("pdf", { Url: `${baseUri}/d/${upload.fileId}` });

  assert.ok(isPdf(await result.file.save(path.join(folder, "page.pdf"))));
});

test("deletes what it stored", async () => {
  const { url } = (await api.convert("pdf", { File: page })).file;

  assert.equal((await fetch(url, { method: "DELETE" })).status, 200);
  assert.equal((await fetch(url)).status, 404);
});

test("reads the account with the master token", async () => {
  const user = await new ConvertAPI(masterToken, { baseUri }).getUser();

  assert.equal(user.ConversionsTotal - user.ConversionsConsumed, (await control("status")).balance);
});

test("tells what is wrong with a parameter", async () => {
  await assert.rejects(api.convert("pdf", { File: page, Timeout: 5 }), (error) => {
    assert.equal(error.data.Code, 4000);
    assert.match(error.message, /The field Timeout must be between 10 and 1200/);
    return true;
  });
});

test("tells of a damaged document, which is billed", async () => {
  const before_ = (await control("status")).billed;
  const upload = await api.upload(Readable.from([Buffer.from("%PDF-1.7 broken")]), "broken.pdf");

  await assert.rejects(api.convert("jpg", { File: upload }), (error) => {
    assert.ok([5001, 5002].includes(error.data.Code));
    return true;
  });
  assert.equal((await control("status")).billed, before_ + 1);
});

test("tells of wrong credentials and of an exhausted quota", async () => {
  const wrong = new ConvertAPI("wrong", { baseUri });
  await assert.rejects(wrong.convert("pdf", { File: page }), (error) => error.data.Code === 4013);

  await control("balance", { value: 0 });
  await assert.rejects(api.convert("pdf", { File: page }), (error) => error.response.status === 403);
  await control("balance", { value: 100 });
});
