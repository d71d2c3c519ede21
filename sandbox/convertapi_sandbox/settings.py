"""What ConvertAPI's documentation leaves open: a switch per question, set to the likeliest answer.

Sources, given in short with the switches: the product's reference pages at docs.convertapi.com
and help.convertapi.com, its OpenAPI document as archived publicly in 2026, the code of its official
clients on GitHub and the issues filed there.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from convertapi_sandbox.bounds import check_number

# Public, so that examples work everywhere: they are valid only for a sandbox.
API_TOKEN = "sandbox-token-0123456789abcdef0123456789"  # noqa: S105 - public
KID = "11111111-2222-4333-8444-555555555555"
MASTER_TOKEN = "sandbox-master-token-0123456789abcdef0123"  # noqa: S105 - public
LEGACY_SECRET = "sandbox-secret-0123456789abcdef0123456789"  # noqa: S105 - public


@dataclass(slots=True)
class Settings:
    """Switches of a sandbox; assign to them at any time. `Sandbox.reset()` restores them.

    Times are seconds. An unknown name raises AttributeError, and a value that is not listed raises
    ValueError.
    """

    # --- credentials -------------------------------------------------------------------------
    # Secret and Token as bearer or as query parameters: superseded, still in the documentation.
    legacy_credentials: bool = True
    # The response code page distinguishes 4013 (missing) and 4011 (invalid); clients report 4013.
    invalid_token_code: Literal[4013, 4011, 4010] = 4013
    # The master token is documented for administrative endpoints; clients convert with it, too.
    master_token_may_convert: bool = True
    # Code of the 401 that an API token or a JWT gets from /user: undocumented.
    admin_refusal_code: int = 4010
    # False answers 401/4015, "user inactive", to every conversion.
    account_active: bool = True
    # Clock leeway and longest lifetime of a JWT: undocumented. None: no limit.
    jwt_leeway: float = 0.0
    jwt_max_lifetime: float | None = None
    # How the token's text becomes the HMAC key of a JWT: undocumented.
    # "unknown": only the service can sign, so that POST /token/jwt is the one way to a JWT.
    jwt_key: Literal["text", "base64", "unknown"] = "text"
    # Whether `clientIp` may hold networks such as 10.0.0.0/8: undocumented.
    client_ip_networks: bool = False
    # Shape of the answer of POST /token/jwt: undocumented.
    token_answer: Literal[
        "token",
        "Token",
        "text",
        "json_string",
        "jwt",
        "Jwt",
        "JwtToken",
        "AccessToken",
        "access_token",
    ] = "token"  # noqa: S105 - a shape
    # Status and Code if the Kid does not belong to the token: undocumented, as for a bad JWT.
    wrong_kid_status: Literal[401, 400] = 401

    # --- money -------------------------------------------------------------------------------
    # The authentication page says 403; the older response code page says 401 with Code 4014.
    quota_status: Literal[403, 401] = 403
    # Code in the body of the 403: undocumented, by analogy with the 503 body; 4014 is likely, too.
    quota_code: int = 403
    # Paid plans bill conversions over the quota instead of refusing them.
    overage: bool = False
    # Conversions that one success costs: usually 1, "one or more" in the terms.
    conversion_cost: int = 1
    # What that is the price of: a conversion, each of its results, or each document sent for it.
    cost_per: Literal["conversion", "result", "input"] = "conversion"
    # ConversionCost in the parts of multipart/mixed: the whole of it in each, or a share.
    part_cost: Literal["whole", "share"] = "whole"
    # Whether a 400 or 415 of a conversion counts as processed and is billed: unknown.
    bill_refused: bool = False
    # Whether a conversion that failed (500) is billed: so in the terms, and counted once by a user.
    bill_failed: bool = True
    # Whether a job that is deleted while it runs goes on and is billed: undocumented.
    bill_deleted: bool = True

    # --- asynchronous jobs -------------------------------------------------------------------
    # Whether a job gets the id that its caller asks for, as documented, or one of the service's.
    caller_job_ids: bool = True
    # A second POST with the id of a known job: undocumented.
    known_job_id: Literal["join", "refuse", "bill"] = "join"
    # Polls that answer 202 although the conversion is done.
    job_polls: int = 0
    # Seconds during which polls of a new job still answer 404.
    job_visible_after: float = 0.0
    # Where refusals (400, 403, 415) of a job are reported: by the POST, or by the job.
    job_refusals_at: Literal["start", "job"] = "start"
    # Seconds a finished job is kept: two hours in the 2021 documentation.
    job_lifetime: float = 7200.0
    # Whether a finished job answers 200 only once: undocumented.
    job_consumed_by_read: bool = False
    # Whether a failed job answers with its verdict more than once: undocumented.
    job_keeps_verdict: bool = True
    # Whether deleting a result document makes its job unknown: undocumented.
    job_dies_with_documents: bool = False
    # Whether deleting a job deletes its stored results too: undocumented.
    job_delete_takes_documents: bool = False
    # Whether the Accept header of the start or of the poll decides the format of the result.
    job_format_from: Literal["start", "poll"] = "start"
    # A second poll while another one of the same job is open: 503 in the 2021 documentation.
    concurrent_polls: Literal["allowed", "refused"] = "allowed"
    # Seconds for which the second and later polls of one job are held: five in 2021.
    poll_hold: float = 0.0
    # The web hook is documented for success only.
    webhook_on_failure: bool = False

    # --- answers -----------------------------------------------------------------------------
    # A conversion without an Accept header and without StoreFile: "request" is JSON for a form or
    # JSON in the request, raw bytes for others.
    no_accept: Literal["request", "raw", "json"] = "request"
    # StoreFile=true together with Accept: application/octet-stream or multipart/mixed.
    stored_answer: Literal["accept", "json"] = "accept"
    # Names of several results: report.pdf, report-2.pdf (clients' tests) or report_0.pdf (OpenAPI).
    name_index: Literal["dash", "underscore"] = "dash"
    # Square brackets in a result Url are left raw by the service (a client's issue of 2025).
    url_brackets: Literal["raw", "quoted"] = "raw"
    # Names in Content-Disposition: filename* (a client's test) or filename (documentation).
    disposition: Literal["extended", "quoted"] = "extended"
    # ConversionTime in addition to ConversionCost, as old pages show.
    conversion_time: bool = False
    # Old account fields (Secret, ApiKey, Status, SecondsLeft) in GET /user.
    legacy_user_fields: bool = False
    # Code in the body of a 415, and body of a 404: undocumented.
    unsupported_code: int = 415
    not_found_body: Literal["json", "empty"] = "json"
    # Status of a pair that no converter knows: undocumented.
    unknown_pair_status: Literal[400, 415, 404] = 400
    # Parameters that the converter does not have: a client's test relies on their being ignored.
    unknown_parameters: Literal["ignored", "refused"] = "ignored"
    # A single File sent to a converter of Files: one client does so, another one avoids it.
    lone_file: Literal["refused", "accepted"] = "refused"
    # Byte ranges of downloads: undocumented.
    byte_ranges: bool = False

    # --- uploads -----------------------------------------------------------------------------
    # An upload under a fileId that exists: undocumented.
    known_file_id: Literal["replace", "refuse"] = "replace"
    # Seconds a stored document is kept.
    file_lifetime: float = 10800.0
    # Largest upload or input in bytes, and its status: undocumented. None: no limit.
    max_file_size: int | None = None
    too_large_status: Literal[413, 400, 415] = 413

    # --- load --------------------------------------------------------------------------------
    # Number of open conversions above which the answer is 503. None: no limit.
    throttle_above: int | None = None
    throttle_status: Literal[503, 429] = 503
    # Seconds in a Retry-After header of the throttle answer. None: no header, as documented.
    retry_after: int | None = None
    # Minimum seconds from the arrival of a conversion to its result.
    latency: float = 0.0
    # Seconds by which the service's clock is ahead: its Date header and its checks of a JWT.
    clock_offset: float = 0.0

    # --- surroundings ------------------------------------------------------------------------
    # Hosts ("name" or "name:port", comma separated) that may be fetched from or called.
    allow_hosts: str = ""
    # Origin in result URLs. None: the address on which the sandbox listens.
    public_url: str | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse a value that the switch does not list."""
        _check(name, value)
        object.__setattr__(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        """Return every switch with its value."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _check(name: str, value: Any) -> None:
    hint = _HINTS.get(name)
    if hint is None:
        msg = f"no such sandbox setting: {name!r}; known: {', '.join(sorted(_HINTS))}"
        raise AttributeError(msg)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            msg = f"sandbox setting {name} must be one of {get_args(hint)}, not {value!r}"
            raise ValueError(msg)
        return
    wanted = get_args(hint) or (hint,)
    if int in wanted or float in wanted:
        check_number(
            f"sandbox setting {name}",
            value,
            None if name == "clock_offset" else 0,
            whole=int in wanted,
            optional=type(None) in wanted,
        )
    elif type(value) not in wanted:
        msg = f"sandbox setting {name} must be {hint}, not {value!r}"
        raise ValueError(msg)
    elif name == "allow_hosts":
        _check_hosts(value)


def _check_hosts(listed: str) -> None:
    for host in filter(None, map(str.strip, listed.split(","))):
        parts = urlsplit(f"//{host}")
        try:
            is_host = bool(parts.hostname) and parts.netloc == host and parts.port != 0
        except ValueError:  # the port is not one
            is_host = False
        if not is_host or "@" in host or any(map(str.isspace, host)):
            msg = f'sandbox setting allow_hosts: {host!r} is not "name" or "name:port"'
            raise ValueError(msg)


_HINTS: dict[str, Any] = get_type_hints(Settings)
