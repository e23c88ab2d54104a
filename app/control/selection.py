"""Which variant of a version serves: a pure decision on the policy, the gate's verdicts and this host's speeds."""

from collections.abc import Mapping

from app.serving.variants import Speedup
from model_store.records import VariantRecord, VersionRecord

AUTO = "auto"
"""The policy: the fastest variant on this host that passed its gate."""
PUBLISHED = "fp32"
"""The policy: the variant that was published with the version, whatever it is called."""


def ladder(policy: str, record: VersionRecord, speeds: Mapping[str, Speedup]) -> tuple[VariantRecord, ...]:
    """The variants that may serve, best first: when one cannot, the next one does. The published one is the last.

    Any other policy names a variant, which stands above those of AUTO if its gate let it pass.
    """
    published = record.variants[0]
    if policy in (PUBLISHED, published.name):
        return (published,)
    by_speed = _by_speed(record, speeds)
    named = [variant for variant in record.variants[1:] if variant.name == policy and variant.passed]
    return (*named, *(variant for variant in by_speed if variant not in named), published)


def why_not_named(policy: str, record: VersionRecord) -> tuple[str, str] | None:
    """Why the variant that the policy names is not on the ladder: a word for the metric, and the reason in words."""
    if policy in (AUTO, PUBLISHED, record.variants[0].name):
        return None
    named = next((variant for variant in record.variants if variant.name == policy), None)
    if named is None:
        known = ", ".join(variant.name for variant in record.variants)
        return "missing", f"the version has no variant '{policy}', only {known}"
    if not named.passed:
        return "gate", "its gate refused it" if named.passed is False else "no gate has judged it"
    return None


def unmeasured(policy: str, record: VersionRecord, speeds: Mapping[str, Speedup]) -> tuple[VariantRecord, ...]:
    """The variants whose speed here decides which one serves, and is not known; of those with rows to measure by."""
    if policy != AUTO:
        return ()
    return tuple(
        variant
        for variant in record.variants[1:]
        if variant.passed and variant.golden is not None and variant.name not in speeds
    )


def _by_speed(record: VersionRecord, speeds: Mapping[str, Speedup]) -> list[VariantRecord]:
    """Those that passed and are nowhere slower here than the published one, most rows a second first."""
    faster = [
        variant
        for variant in record.variants[1:]
        if variant.passed and variant.name in speeds and speeds[variant.name].is_gain
    ]
    return sorted(faster, key=lambda variant: speeds[variant.name].throughput_ratio, reverse=True)
