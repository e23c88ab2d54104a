"""What a caller can do wrong or run into, and the one table that turns every exception into an answer."""

from dataclasses import dataclass

import engines.errors
import model_store.errors


class OctetError(Exception):
    """Every error of the application. The message says what was wrong, what was expected and what to do."""


class Malformed(OctetError):
    """The request is not what the protocol or the signature asks for."""


class ModelNotFound(OctetError):
    """No such model, or no such version of it, is served."""


class ModelUnloaded(ModelNotFound):
    """The model was unloaded on purpose, and nobody has loaded it since."""


class LabelNotFound(OctetError):
    """The model has no such label (TensorFlow Serving answers 400 here, not 404)."""


class RegionNotFound(OctetError):
    """No shared memory region is registered under this name."""


class JobNotFound(OctetError):
    """There is no job of this number."""


class WrongMoment(OctetError):
    """The job's state does not allow what was asked for."""


class BodyTooLarge(OctetError):
    """The body, what it inflates to, or the shared memory it points at is over the limit."""


class HeadTooLarge(OctetError):
    """The request line and the headers are over the limit."""


class TooManyRows(OctetError):
    """The request has more rows than the queue could ever hold."""


class UnsupportedEncoding(OctetError):
    """A Content-Encoding that is not spoken here."""


class Unsupported(OctetError):
    """A part of a protocol that is off, or that no model here can answer."""


class NotReady(OctetError):
    """The model is known, but nothing of it is loaded yet."""


class LoadFailed(OctetError):
    """A model that somebody asked to load cannot be loaded."""


class AnswersDiffer(OctetError):
    """A variant does not answer as it did when it was made."""


class QueueFull(OctetError):
    """The queue holds as many rows as it may, or the server as many bytes of bodies that are not decoded yet."""


class TooManyJobs(OctetError):
    """As many jobs wait as may."""


class Draining(OctetError):
    """The server is about to stop."""


class DeadlineExceeded(OctetError):
    """The request's time was over before its answer was there."""


class Cancelled(OctetError):
    """The client went away. Nobody reads this answer; the log and the counter do."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How an exception is answered. `code` names it in metrics and logs."""

    status: int
    code: str
    retry_after_seconds: int | None = None


RULES: dict[type[BaseException], Rule] = {
    Malformed: Rule(400, "malformed"),
    LabelNotFound: Rule(400, "label_not_found"),
    engines.errors.InputRefused: Rule(400, "input_refused"),
    ModelNotFound: Rule(404, "not_found"),
    ModelUnloaded: Rule(404, "not_found"),
    RegionNotFound: Rule(404, "not_found"),
    model_store.errors.NotFound: Rule(404, "not_found"),
    model_store.errors.UnknownLabel: Rule(400, "label_not_found"),
    model_store.errors.InvalidName: Rule(400, "malformed"),
    model_store.errors.InvalidVersion: Rule(400, "malformed"),
    JobNotFound: Rule(404, "not_found"),
    WrongMoment: Rule(409, "wrong_moment"),
    BodyTooLarge: Rule(413, "body_too_large"),
    TooManyRows: Rule(413, "too_many_rows"),
    HeadTooLarge: Rule(431, "head_too_large"),
    UnsupportedEncoding: Rule(415, "unsupported_encoding"),
    Cancelled: Rule(499, "cancelled"),
    Unsupported: Rule(501, "unsupported"),
    NotReady: Rule(503, "not_ready", retry_after_seconds=1),
    QueueFull: Rule(503, "queue_full", retry_after_seconds=1),
    TooManyJobs: Rule(503, "too_many_jobs", retry_after_seconds=60),
    Draining: Rule(503, "draining", retry_after_seconds=5),
    model_store.errors.StoreBusy: Rule(503, "store_busy", retry_after_seconds=1),
    DeadlineExceeded: Rule(504, "deadline_exceeded"),
    LoadFailed: Rule(500, "load_failed"),
    AnswersDiffer: Rule(500, "load_failed"),
    engines.errors.EngineError: Rule(500, "engine_failed"),
    model_store.errors.StoreError: Rule(500, "store_failed"),
}
INTERNAL = Rule(500, "internal")


def rule_for(error: BaseException) -> Rule:
    """The rule of the error's nearest class; what the table does not know is internal."""
    return next((RULES[cls] for cls in type(error).__mro__ if cls in RULES), INTERNAL)


def text_for(error: BaseException) -> str:
    """What the caller may read. An unforeseen error keeps its details for the log."""
    if rule_for(error) is INTERNAL:
        return "internal error: it is logged under this request's id (X-Request-Id)"
    return str(error).encode(errors="backslashreplace").decode()  # JSON can quote half a surrogate pair, UTF-8 cannot
