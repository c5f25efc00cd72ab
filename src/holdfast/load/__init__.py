"""Load on a running system, by clients that come at their own rate: `holdfast load`.

Systems declare what is asked of them with `Offer`, in `<package>/traffic.py`.
"""

from holdfast.load.offer import Offer

__all__ = ["Offer"]
