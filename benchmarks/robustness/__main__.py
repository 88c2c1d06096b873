"""What the link stands: every figure beside its limit, through the whole chain.

    OMP_NUM_THREADS=1 python -m benchmarks.robustness [--quick] [--jobs 2] [SECTION ...]

Sections: contact (bursts found with their carriers off, missed, found where there is none), clock (50 ppm over the
longest burst), near-far (a weak client between others 20 dB above it), jammer. Losses are in dB of SNR at which a
tenth of the blocks is lost, against the same bursts over the same noise without the disturbance.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time

from benchmarks.parts.arguments import integer, one_of
from benchmarks.robustness import clock, first_contact, jammer, near_far

SECTIONS = {
    "contact": first_contact.show,
    "clock": clock.show,
    "near-far": near_far.show,
    "jammer": jammer.show,
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", nargs="*", type=one_of(SECTIONS), help=f"of {', '.join(SECTIONS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a few bursts of a few schemes: indicative only")
    parser.add_argument("--jobs", type=integer(1), default=2)
    options = parser.parse_args()
    if options.quick:
        print("--quick: too few bursts to judge a limit by; the figures are indicative only", flush=True)
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for name in options.section or SECTIONS:
            began = time.monotonic()
            print(f"\n{name}", flush=True)
            SECTIONS[name](pool, options.quick)
            print(f"  {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
