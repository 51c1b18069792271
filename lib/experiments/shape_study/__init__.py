"""The study behind notebook 02b: shapes at equal FLOPs, sizes by data, and what both are worth.

shapes      layers in given proportions at given FLOPs; how far neighbouring layers drop
passes      one size trained from several seeds together, measured as its data grow
differences what one shape loses against others: paired, over seeds and impressions
breakpoint  from which ratio of neighbouring layers (or width) on a shape loses
joint_fit   the joint law of passes, its intervals over seeds and impressions
spending    whether the next unit of money is better spent on size or on data
"""
