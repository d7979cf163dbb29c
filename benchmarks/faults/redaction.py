"""How many secrets get through to the LLM, and how many innocent texts are damaged.

`python -m benchmarks.faults.redaction [--all]`: a row for each kind; with `--all` each
text that failed. Ends with 1 when more than 2 % of the secrets get through, or more than
1 % of the innocent texts are damaged.
"""

import sys

from auto_monitor.decide.redact import redact
from auto_monitor.decide.secret_values import secret_values
from tests.support.monitor.redactkit import ENVIRONMENT, leaks, readable

#: What may get through of the secrets, and be damaged of the innocent, in percent.
THROUGH, DAMAGED = 2.0, 1.0


def main() -> int:
    """Prints the table; returns whether a bound was broken."""
    values, told = secret_values(ENVIRONMENT), "--all" in sys.argv[1:]
    through = [one for one in leaks() if one.secret in redact(one.text, values)]
    print("| texts | how many | failed | rate |\n| --- | --- | --- | --- |")
    _row("secrets that get through", len(leaks()), len(through))
    bad, every = 0, 0
    for kind, texts in readable().items():
        damaged = [text for text in texts if redact(text, values) != text]
        _row(f"damaged {kind}", len(texts), len(damaged))
        bad, every = bad + len(damaged), every + len(texts)
        if told:
            for text in damaged:
                print(f"    {text!r} -> {redact(text, values)!r}")
    _row("damaged, all kinds", every, bad)
    if told:
        for one in through:
            print(f"    {one.name}: {redact(one.text, values)!r}")
    return int(
        100 * len(through) / len(leaks()) > THROUGH or 100 * bad / every > DAMAGED
    )


def _row(name: str, every: int, failed: int) -> None:
    print(f"| {name} | {every} | {failed} | {100 * failed / every:.1f} % |")


if __name__ == "__main__":
    sys.exit(main())
