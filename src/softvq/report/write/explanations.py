"""The paragraphs that explain the report, the same in all of its files."""

from softvq.published import MINUS

MEASURED = (
    "What was measured. An autoencoder is trained without labels, one for each bottleneck, data set and seed; "
    "only the bottleneck differs. Its encoder's output z_e then serves two tasks. Clustering: K-means with as "
    "many clusters as classes on the test set's codes, scored by accuracy under the best one-to-one matching of "
    "clusters and classes, and by normalized mutual information, NMI = 2 I / (H + H). Classification: one linear "
    "layer with a softmax, trained on the training set's codes and scored on the test set's. All three are in "
    "percent. MSE / variance is the test set's reconstruction error over the variance of the training pixels. Raw data "
    "are the pixels themselves under the same probes; the untrained encoder is what random weights give."
)
ROWS = (
    "What a row is. One model on one data set under one configuration; its seeds change initial weights, order of "
    "the images and noise, never the probes. Runs whose settings, data content or protocol differ are never pooled, "
    "and neither are runs that were stopped early. A run that failed is counted as lost and is in no mean. Folders "
    "that hold equal settings and an equal seed count once; raw data, which no seed changes, are one run. "
    "fidelity=paper follows the paper's text and takes from the released notebooks what the text leaves open; "
    "fidelity=released follows the notebooks."
)
INTERVALS = (
    "What ± means. Half of Student's 95 % interval of the mean over seeds, from three seeds on; fewer give a mean "
    "alone, and equal values none either, as seeds that change nothing were ignored. It holds the seeds' "
    "variation and nothing else: not the choice of the test images, nor that of the probes. The standard deviation "
    f"has n {MINUS} 1."
)
VERDICTS = (
    "How to read the verdicts. They are given only where steps, network and protocol are the paper's, which names "
    "neither the number of its runs nor their spread beyond “within 1 percent”. Above and below: our interval lies "
    "wholly more than one point from the paper's number. Match: it does not, and is at most three points wide to "
    "either side. Undecided: it does not, and is wider. Too few seeds: under three. Raw data need one run; there one "
    "point alone decides."
)
TESTS = (
    "How the claims are tested. Differences are paired by seed and tested with one-sided t-tests rather than "
    "signed ranks, which with five seeds cannot give less than p = 0.031. A claim holds where all of its "
    "inequalities hold, so its p is their largest; against it speaks any one of them reversed, so the p against "
    "it is their smallest times their number. Both are corrected over all tested claims after Holm, at 5 %, where "
    "a claim that was not run counts as p = 1. Undecided means that neither side is shown; the sizes named in the "
    "paper are set beside ours as its numbers are. Differences are in points of percent."
)
SPREAD = (
    "How much clustering varies. The standard deviation of clustering accuracy over seeds, with its 95 % interval "
    "(chi-squared), beside the one percent within which the paper says that its results vary; and the seeds that a "
    "paired t-test at 5 % needs to find a difference of three points to soft VQ in four of five trials."
)
DISTORTION = (
    "The paper compares models “trained to have similar reconstruction quality” in Figure 4 and says nothing about it "
    "in its tables. Here each model's weights were scaled, and the runs compared are those whose normalized test MSE "
    "lies within one band. The band is placed by the errors alone, where the most models take part."
)
READING = (MEASURED, ROWS, INTERVALS, VERDICTS)
