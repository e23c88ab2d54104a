"""Which variant of a version serves: a pure decision on the policy, the gate's verdicts and this host's speeds."""

from collections.abc import Mapping

from engines.quantize.report import Speedup
from model_store.records import VariantRecord, VersionRecord

AUTO = "auto"
"""The policy: the fastest variant on this host that passed its gate."""
PUBLISHED = "fp32"
"""The policy: the variant that was published with the version, whatever it is called."""


def verdict(variant: VariantRecord, speed: Speedup | None) -> bool | None:
    """What the gate says here: of the answers, which holds everywhere, and of the speed, which is of one host.

    None where no gate has judged the answers, or nobody has measured the speed here.
    """
    if not variant.accurate or speed is None:
        return False if variant.accurate is False else None
    return speed.least >= variant.min_speedup


def why_not(variant: VariantRecord, speed: Speedup | None) -> str:
    """Why a variant may not serve here; empty for one that may, and for one that is to be measured first."""
    if not variant.accurate:
        return "no gate has judged it" if variant.accurate is None else "its gate refused its answers"
    if speed is None:
        return "" if variant.golden else "nobody has measured it here, and it has no golden rows to do so"
    if speed.least < variant.min_speedup:
        return f"it is {speed.least:.2f} times as fast as its source here, at least {variant.min_speedup:.2f} are asked"
    return ""


def ladder(policy: str, record: VersionRecord, speeds: Mapping[str, Speedup]) -> tuple[VariantRecord, ...]:
    """The variants that may serve, best first: when one cannot, the next one does. The published one is the last.

    Any other policy names a variant, which stands above those of AUTO if it passed its gate.
    """
    published, *others = record.variants
    if policy in (PUBLISHED, published.name):
        return (published,)
    passed = [variant for variant in others if verdict(variant, speeds.get(variant.name))]
    named = [variant for variant in passed if variant.name == policy]
    faster = [variant for variant in passed if variant not in named and speeds[variant.name].least >= 1.0]
    return (*named, *sorted(faster, key=lambda one: speeds[one.name].throughput_ratio, reverse=True), published)


def why_not_named(policy: str, record: VersionRecord, speeds: Mapping[str, Speedup]) -> tuple[str, str] | None:
    """Why the variant that the policy names is not on the ladder: a word for the metric, and the reason in words.

    None for one that is, and for one that is to be measured first.
    """
    if policy in (AUTO, PUBLISHED, record.variants[0].name):
        return None
    named = next((variant for variant in record.variants if variant.name == policy), None)
    if named is None:
        known = ", ".join(variant.name for variant in record.variants)
        return "missing", f"the version has no variant '{policy}', only {known}"
    why = why_not(named, speeds.get(policy))
    return ("gate", why) if why else None


def unmeasured(policy: str, record: VersionRecord, speeds: Mapping[str, Speedup]) -> list[VariantRecord]:
    """The variants that wait for their speed here, and have rows to measure it by; one that the policy names first.

    Under any policy, since a request may name one.
    """
    waiting = [v for v in record.variants[1:] if v.accurate and v.golden is not None and v.name not in speeds]
    return sorted(waiting, key=lambda variant: variant.name != policy)
