"""The health panel: numbers that tell a live latent code from a collapsed one, the same for every bottleneck.

A batch is reduced to sums (`statistics`), sums of batches, steps or devices are added, and the panel is computed from
the totals (`panel`). So no number depends on the batch size or on how many devices shared the images.

The numbers, by the names that they have everywhere (metrics.csv, trackers, metrics.json, figures):

    units, K              coordinates of an image's code (M * d); codewords. Sizes, for the numbers beside them.
    code_scale            root of the mean variance of z_e's units over the images.
    active_units          units that vary with the image, judged by the code's own scale (see `active_units`).
    effective_rank        exp of the entropy of the covariance's normalised eigenvalues (Roy & Vetterli, 2007): in how
                          many directions z_e varies, at most d. With M > 1 the covariance is averaged over positions.
    perplexity            exp of the entropy of how often each codeword is the one chosen (the hard assignment).
    dead_codes            codewords that are never the one chosen.
    posterior_perplexity  exp of the entropy of the posterior's mean over all codes.
    posterior_entropy     mean entropy of the posterior over codewords, nats.
    sigma_spread          standard deviation of ln sigma_k over the codewords, mean over all codes; 0: equal variances.
    rate                  bits an image: what the bottleneck says of itself, or for a hard quantizer the entropy of the
                          chosen codewords.
    mutual_information    I(x; k) in bits an image, k drawn from the posterior over codewords: the entropy of the mean
                          posterior minus the mean entropy. M > 1 positions, and the parts of a code that is
                          cut into parts, count as independent: an upper bound then.
    mutual_information_bound  for Gaussian posteriors, bits an image: an upper bound of I(x; z), the KL from the
                          factorised Gaussian that has the codes' own means and variances. At most `rate`, which is
                          the same with the prior in that Gaussian's place.
"""

from softvq.health.collapse import PATIENCE, CollapseWatch, collapse
from softvq.health.metric import Health
from softvq.health.panel import active_units, distributions, panel
from softvq.health.statistics import statistics

__all__ = ["PATIENCE", "CollapseWatch", "Health", "active_units", "collapse", "distributions", "panel", "statistics"]
