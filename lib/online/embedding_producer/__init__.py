"""The Embedding Producer (appendix A): ads' parts of the first layer, computed ahead.

catalogue   all valid ads with their features, growing
ad_parts    the parts of one model version, in one file that servers map
producer    writes them at a model update and for new ads
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "ad_parts": ["AdParts", "AdPartsWriter"],
        "catalogue": ["Catalogue", "add_ads"],
        "producer": ["produce", "run_producer"],
    },
)
