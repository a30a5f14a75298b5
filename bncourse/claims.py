"""The claims about batch norm that popular articles make, and what this course has found of each.

The table of one page, of its picture and of its test. Where a claim is met on a page that does not
stand in ``contents`` yet, its link waits; a citation is there in any case.
"""

import re
from dataclasses import dataclass

from bncourse.contents import CHAPTERS, chapter_of

VERDICTS = ("holds", "holds under conditions", "not supported", "wrong")

# The headings of the page, in order.
GROUPS = {
    "words": "Words and history",
    "mechanism": "What the layer does",
    "shift": "Internal covariate shift",
    "benefits": "What it buys",
    "frameworks": "Frameworks",
    "limits": "Limits",
    "advances": "Recent advances",
}

# Pages that claims may point to and that are no chapters.
_OTHER_PAGES = {"glossary": "Glossary"}
_TAG = re.compile(r"[A-Z]\d+")


@dataclass(frozen=True)
class Claim:
    """A claim that popular articles make.

    Args:
        number: from 1.
        group: a key of GROUPS.
        verdict: one of VERDICTS.
        claim: what they say, in our words.
        question: what a reader wants to know.
        answer: one sentence, without numbers that the places do not hold.
        evidence: what was measured, derived or cited, in MyST.
        where: places: the tag of an equation, a page, or a page and what stands there,
            ``page#label`` or ``page#tag``.
    """

    number: int
    group: str
    verdict: str
    claim: str
    question: str
    answer: str
    evidence: str
    where: tuple[str, ...]


def titles() -> dict[str, str]:
    """Return the titles of the pages that a claim may name, by their names."""
    return {each.page: each.title for each in CHAPTERS} | _OTHER_PAGES


def page_of(place: str) -> str:
    """Return the page of a place.

    >>> page_of("F3"), page_of("layers#layers-table"), page_of("layers")
    ('forward', 'layers', 'layers')
    """
    return chapter_of(place).page if _TAG.fullmatch(place) else place.partition("#")[0]


def anchor_of(place: str) -> str:
    """Return the tag or the label of a place, or nothing.

    >>> anchor_of("F3"), anchor_of("layers#layers-table"), anchor_of("layers")
    ('F3', 'layers-table', '')
    """
    return place if _TAG.fullmatch(place) else place.partition("#")[2]


def link(place: str) -> str:
    """Return a place as a link in MyST.

    >>> link("F3"), link("layers#layers-table")
    ('[(F3)](#F3)', '[Use the layer in PyTorch and Keras](#layers-table)')
    >>> link("glossary")
    '[Glossary](glossary.md)'
    >>> link("glossary#where-it-is-used")
    '[Glossary: where it is used](#where-it-is-used)'
    """
    page, anchor = page_of(place), anchor_of(place)
    words = f"({anchor})" if _TAG.fullmatch(anchor) else titles()[page]
    if anchor and page in _OTHER_PAGES:
        # Two places of a long page are two things to look up.
        words += f": {anchor.replace('-', ' ')}"
    return f"[{words}]({f'#{anchor}' if anchor else f'{page}.md'})"


def links(claim: Claim) -> list[str]:
    """Return the links to the places of a Claim."""
    return list(map(link, claim.where))


CLAIMS = (
    Claim(
        number=1,
        group="words",
        verdict="holds",
        claim=(
            "Ioffe and Szegedy introduced batch norm in 2015; ten years on it stands in many "
            "architectures."
        ),
        question="Is it from 2015, and is it still in use?",
        answer=(
            "Yes: it is a standard part of convolutional networks; transformers took to layer norm."
        ),
        evidence=(
            "The layer is that of {cite:t}`ioffe2015batch`. Residual networks took it over "
            "{cite:p}`he2016deep`; transformers did not {cite:p}`vaswani2017attention`. "
            "Hidden features were standardised before {cite:p}`gulcehre2013knowledge`."
        ),
        where=("glossary#where-the-name-comes-from", "glossary#where-it-is-used"),
    ),
    Claim(
        number=2,
        group="words",
        verdict="holds",
        claim=(
            "It is called *batch* because its statistics are those of the mini-batch, often "
            "32 or 64 examples, and *normalization* because each feature gets mean zero and "
            "variance one."
        ),
        question="Whose mean is it, and what is normal about the result?",
        answer=(
            "It is the mean of the current batch, and normal means mean zero and variance "
            "one, not a normal distribution."
        ),
        evidence=(
            "The sums of [(F1)](#F1) and [(F2)](#F2) run over the batch alone. [(F3)](#F3) "
            "moves and stretches a feature, so a lopsided one stays lopsided. The words "
            "around it (layer, scale and shift, running statistics) are those of the paper "
            "{cite:p}`ioffe2015batch` and of the libraries."
        ),
        where=("F1", "F3", "glossary#where-the-name-comes-from"),
    ),
    Claim(
        number=3,
        group="words",
        verdict="not supported",
        claim=(
            "Batch norm is like adjusting the weights that a runner carries, while the runner runs."
        ),
        question="Which everyday picture does carry?",
        answer=(
            "Marks on a curve: what you get depends on who else is in the room, and a class "
            "of one tells nothing."
        ),
        evidence=(
            "In the picture of the runner nothing stands for the batch, and nothing is "
            "learned. The school has a part for each part of the layer: shifts cancel as in "
            "[(F5)](#F5), factors as in [(F11)](#F11), a class of two keeps only the order, "
            "[(F13)](#F13). Its fault: a school sets its scale, a network learns it."
        ),
        where=("glossary#everyday-picture", "F13"),
    ),
    Claim(
        number=4,
        group="words",
        verdict="holds under conditions",
        claim="It is used for images, text, speech and reinforcement learning.",
        question="Where is it the usual choice?",
        answer=(
            "In convolutional networks for images, and often in speech; in text and in "
            "reinforcement learning it is the exception."
        ),
        evidence=(
            "Images: {cite:t}`he2016deep`. Speech: {cite:t}`amodei2016deep` and "
            "{cite:t}`gulati2020conformer`. Text: transformers use layer norm "
            "{cite:p}`vaswani2017attention`, since statistics of text fluctuate strongly "
            "during training {cite:p}`shen2020powernorm`. Reinforcement learning: "
            "{cite:t}`salimans2016weight` count it among the noise-sensitive uses that suit "
            "batch norm less; {cite:t}`bhatt2024crossq` show how it can help."
        ),
        where=("glossary#where-it-is-used", "relatives"),
    ),
    Claim(
        number=5,
        group="words",
        verdict="holds",
        claim="PyTorch, Keras and TensorFlow have it built in.",
        question="Which libraries have the layer?",
        answer="All three; names, defaults and what is stored differ between PyTorch and Keras.",
        evidence=(
            "The table of the layers is made by feeding both layers a batch, and from the "
            "options of the installed versions {cite:p}`paszke2019pytorch,chollet2015keras`; "
            "TensorFlow has the bare formula besides {cite:p}`abadi2016tensorflow`."
        ),
        where=("glossary#which-libraries", "layers#layers-table"),
    ),
    Claim(
        number=6,
        group="mechanism",
        verdict="holds under conditions",
        claim=(
            "The layer centres, scales and shifts its input, and learns the best scale and "
            "mean for each input."
        ),
        question="For each *what* does it learn a scale and a mean?",
        answer=(
            "For each feature, not for each example: the three steps are right, and what is "
            "learned is shared by all that comes."
        ),
        evidence=(
            r"The sentence holds if *input* means a feature, one column of the batch. $\gamma$ "
            r"and $\beta$ in [(F4)](#F4) have an index of the feature and none of the example "
            "{cite:p}`ioffe2015batch`. That they are the best ones is the hope of every "
            "gradient descent."
        ),
        where=("F3", "F4"),
    ),
    Claim(
        number=7,
        group="mechanism",
        verdict="holds",
        claim=(
            "For a batch of shape $(N, D)$: the mean, the biased variance, the normalised "
            r"value with $\epsilon$, then scale and shift."
        ),
        question="Are these four equations what a library computes in training?",
        answer=r"Yes, with the variance divided by $N$ and $\epsilon$ under the root.",
        evidence=(
            "Each of the four has a check against a loop over single numbers, and together "
            "against PyTorch's layer. They are those of {cite:t}`ioffe2015batch`, algorithm "
            "1. On PyTorch Keras gets at the same variance by another formula, which loses digits "
            "far from zero, [(F15)](#F15)."
        ),
        where=("F1", "F2", "F3", "F4"),
    ),
    Claim(
        number=8,
        group="mechanism",
        verdict="holds under conditions",
        claim=(
            r"With batch norm a unit computes $g(\gamma \hat{x} + \beta + b)$, where $g(uW + "
            "b)$ stood before."
        ),
        question="What does the bias $b$ still do?",
        answer=(
            r"Nothing that $\beta$ does not do: after the normalisation only $\beta + b$ "
            "counts, and before it the mean takes $b$ away."
        ),
        evidence=(
            "The equation computes what it says, and has one letter too many. "
            "{cite:t}`ioffe2015batch` leave $b$ out. Before the normalisation its gradient is "
            "zero, [(F5)](#F5); in float32 rounding leaves a little, which plain descent "
            "ignores and Adam turns into a drift."
        ),
        where=("F5", "scale_invariance#dead-bias"),
    ),
    Claim(
        number=9,
        group="mechanism",
        verdict="holds under conditions",
        claim=r"$\epsilon$, about 1e-5, is there for numerical stability.",
        question=r"When does $\epsilon$ matter?",
        answer=(
            "Where a feature's variance is not large beside it: it damps the feature forward, "
            "bounds its gradient backward, and must move along when a model changes its "
            "framework."
        ),
        evidence=(
            r"At a variance of $\epsilon$ half of the variance is gone, [(F9)](#F9). The "
            r"gradient of a constant feature is stretched by $\gamma/\sqrt{\epsilon}$, "
            "[(F14)](#F14). PyTorch and Keras have different defaults, and a model moved "
            r"without its $\epsilon$ gives other outputs, [(L8)](#L8) "
            "{cite:p}`paszke2019pytorch,chollet2015keras`. Against a variance that is lost to "
            "rounding it does not help, [(F15)](#F15)."
        ),
        where=("F9", "F14", "L8"),
    ),
    Claim(
        number=10,
        group="mechanism",
        verdict="not supported",
        claim="It belongs before the activation, say three of the articles; after it, says one.",
        question="Before or after the activation?",
        answer=(
            "No rule was found: with ReLU the two are close; after a sigmoid it learned in "
            "fewer steps, and in the deeper test the accuracies overlap."
        ),
        evidence=(
            "{cite:t}`ioffe2015batch` argue for the place before. "
            "{cite:t}`gulcehre2013knowledge` standardised after the activation, two years "
            "earlier. Measured twice: in eight layers beside [(F16)](#F16), in three layers "
            "at each network's best rate."
        ),
        where=("F16", "what_it_buys#place-it"),
    ),
    Claim(
        number=11,
        group="mechanism",
        verdict="holds under conditions",
        claim=(
            "It is for hidden layers: not for the input, which is normalised already, nor for "
            "the output, where it breaks the range of a regression."
        ),
        question="What happens at the input, and what at the output?",
        answer=(
            r"Inputs are normalised only if somebody did it; at the output $\gamma$ and "
            r"$\beta$ learn the range, but every training batch gets one mean and one spread, "
            "which raises the error at small batches."
        ),
        evidence=(
            "Raw inputs of mixed units were measured with and without standardising. At the "
            "output [(F16)](#F16) puts a floor under the training error, whatever the "
            "network; on test data harm was measured at small batches and none at larger "
            r"ones. Without $\gamma$ and $\beta$ the advice holds at any batch size."
        ),
        where=("why_normalise#standardise-the-inputs", "F16"),
    ),
    Claim(
        number=12,
        group="mechanism",
        verdict="wrong",
        claim="A hidden layer is replaced by a batch-norm layer.",
        question="Does it replace a layer?",
        answer=(
            "No: it is inserted into the layer, between its weights and its activation, and "
            "the weights stay."
        ),
        evidence=(
            r"$a = g(\mathrm{BN}(uW))$ has the weights of $a = g(uW + b)$, and loses only the "
            "bias, [(F5)](#F5) {cite:p}`ioffe2015batch`."
        ),
        where=("F5",),
    ),
    Claim(
        number=13,
        group="mechanism",
        verdict="wrong",
        claim="Scaling and shifting add non-linearity, or preserve it.",
        question="Where could a non-linearity come from?",
        answer=(
            "Not from scale and shift, which are affine, so *add* is wrong; *preserve* is right "
            "only in this sense: they let a sigmoid behind the layer leave its straight middle, "
            "up to undoing the normalisation."
        ),
        evidence=(
            "[(F4)](#F4) is a multiplication and an addition. [(F10)](#F10) is the identity "
            "of {cite:t}`ioffe2015batch`, exact for one batch or at inference. In training "
            "the layer as a whole is not affine, because mean and variance depend on the "
            "input; that is the doing of the normalisation. What is true: with scale and "
            "shift a sigmoid behind the layer can leave its straight middle."
        ),
        where=("F4", "F10"),
    ),
    Claim(
        number=14,
        group="mechanism",
        verdict="wrong",
        claim=(
            r"$\gamma$ and $\beta$ let the model learn the optimal mean and standard deviation "
            "for each batch."
        ),
        question=r"Does each batch have its own $\gamma$ and $\beta$?",
        answer=(
            r"No: they are shared by all batches; each batch has its own $\mu$ and $\sigma$, "
            "and nobody learns those."
        ),
        evidence=(
            "In [(F4)](#F4) they are parameters, as weights are {cite:p}`ioffe2015batch`. For "
            "that reason [(F10)](#F10) holds for one batch, and not for all."
        ),
        where=("F4", "F10"),
    ),
    Claim(
        number=15,
        group="mechanism",
        verdict="holds",
        claim="At inference a moving average replaces the statistics of the batch.",
        question="What does it normalise with when there is no batch?",
        answer=(
            "With an exponential average over past batches, which lags behind the weights, "
            "holds a share of its start, and can be measured anew."
        ),
        evidence=(
            "[(F7)](#F7) is the layer at inference, [(R2)](#R2) what the average holds. Early "
            "in training, with Keras's default, most of the error is the start, [(R3)](#R3). "
            "{cite:t}`ioffe2015batch` average over batches, too."
        ),
        where=("F7", "R2", "R9"),
    ),
    Claim(
        number=16,
        group="shift",
        verdict="holds under conditions",
        claim=(
            "Covariate shift means that training and test inputs differ in distribution; "
            "standardising and whitening help, but cost much."
        ),
        question="Does standardising each set remove a covariate shift?",
        answer=(
            "It removes a change of mean and size, which helps where that change is a "
            "nuisance and harms where it is information."
        ),
        evidence=(
            "The definition is that of {cite:t}`shimodaira2000improving` once it says that "
            "the rule stays, [(S1)](#S1); the remedy there is to weigh the examples, "
            "[(S2)](#S2). Two small cases show both outcomes of standardising. Whitening is "
            "the dear one, [(W9)](#W9)."
        ),
        where=("S1", "S2", "W9"),
    ),
    Claim(
        number=17,
        group="shift",
        verdict="holds",
        claim=(
            "The inputs of a layer change in distribution while the layers before it learn, "
            "so that each chases the other."
        ),
        question="Is there such a shift, and can it be measured?",
        answer=(
            "Yes, in two ways that do not agree: by the numbers that arrive at a layer, and "
            "by how the gradient changes when the layers before it step."
        ),
        evidence=(
            "{cite:t}`ioffe2015batch` define the first and name no distance; "
            "{cite:t}`santurkar2018how` define the second, which to first order is a coupling "
            "of layers, [(S7)](#S7), with no distribution in it. Both were measured over a "
            "training."
        ),
        where=("S4", "S5", "S7"),
    ),
    Claim(
        number=18,
        group="shift",
        verdict="not supported",
        claim="Batch norm reduces internal covariate shift, and that is why it works.",
        question="Is that why it works?",
        answer=(
            "It is not shown, and not excluded: the shift gets smaller in some measures and "
            "larger in others, sigmoids lost little accuracy to a moderate shift put back, and "
            "for ReLU the case is open."
        ),
        evidence=(
            "Smaller or larger, measure by measure: the table at the first link. As the "
            "cause: noise that puts a shift back, [(D1)](#D1), costs sigmoids little "
            "and ReLU layers much at most rates; a network normalised once, [(D2)](#D2), ends "
            "about as high at its best rate. {cite:t}`santurkar2018how` argue against the "
            "claim, {cite:t}`ioffe2015batch` and {cite:t}`awais2020revisiting` for it; "
            "{cite:t}`huang2020internal` against its first half."
        ),
        where=("covariate_shift#shift-verdict", "reduce_shift#shift-on-trial"),
    ),
    Claim(
        number=19,
        group="benefits",
        verdict="holds under conditions",
        claim="Training is faster and converges sooner.",
        question="How much faster, if the rival may choose its own rate and start?",
        answer=(
            "Against a well-started rival at its best rate by a small factor, and in seconds "
            "by less; from a bad start the rival did not get there at all in the time given."
        ),
        evidence=(
            "Steps to a given loss, each network at its own best rate, [(U1)](#U1), "
            "[(U2)](#U2), for plain descent and for Adam. {cite:t}`ioffe2015batch` report less "
            "than half the steps for a large network on ImageNet by batch norm alone, and 14 "
            "times fewer once its rate, its dropout and more were changed as well; that network "
            "was not measured here."
        ),
        where=("U2", "what_it_buys#buys-verdict"),
    ),
    Claim(
        number=20,
        group="benefits",
        verdict="holds",
        claim="It allows higher learning rates.",
        question="Do larger rates still learn?",
        answer=(
            "Yes: with batch norm the largest rate that learns was several times that of the "
            "rival, with sigmoids and with ReLU."
        ),
        evidence=(
            "A rate has no common unit on both sides: with batch norm its effect falls with the "
            "square of the length of the weights, [(I5)](#I5). "
            "Measured over a sweep of rates in three layers; in eight ReLU layers the network "
            "with batch norm learned at the largest rate, and those without it did not. "
            "{cite:t}`bjorck2018understanding` hold the large rates for the reason why batch "
            "norm helps."
        ),
        where=("what_it_buys#measure-the-speed", "D2"),
    ),
    Claim(
        number=21,
        group="benefits",
        verdict="holds under conditions",
        claim=(
            "It is less sensitive to the initial weights, to their scale and to hyperparameters."
        ),
        question="May weights start at any size?",
        answer=(
            "Over a wide range, if the learning rate may follow: the size leaves the function "
            "and becomes a learning rate."
        ),
        evidence=(
            "By [(F11)](#F11) the output forgets the scale of the weights; their gradient "
            "does not, [(F12)](#F12), and the direction learns at a rate that falls with the "
            "square of the length, [(I5)](#I5) {cite:p}`vanlaarhoven2017l2`. Measured from "
            "sizes far below to far above the usual."
        ),
        where=("what_it_buys#start-from-any-size", "F11", "I5"),
    ),
    Claim(
        number=22,
        group="benefits",
        verdict="holds under conditions",
        claim="It prevents vanishing and exploding gradients, and the saturation of sigmoids.",
        question="Does it keep gradients in range?",
        answer=(
            "It rescues a sigmoid net whose gradient vanishes, but without shortcuts it makes "
            "the gradients of a deep ReLU net explode at the start."
        ),
        evidence=(
            "The sigmoid net with small weights had hardly a saturated unit, and no gradient "
            "either, [(W2)](#W2); with batch norm it learned. The explosion follows from "
            "[(H2)](#H2), for each activation that bends, and was found by "
            "{cite:t}`yang2019mean`."
        ),
        where=("why_normalise#measure-the-prediction", "H2", "H4"),
    ),
    Claim(
        number=23,
        group="benefits",
        verdict="holds under conditions",
        claim="It smooths the loss.",
        question="Is the loss smoother where one steps?",
        answer=(
            "With ReLU, yes: a step of one size relative to the weights keeps more of what "
            "the gradient promised; that this is the cause of the help is not shown."
        ),
        evidence=(
            "Absolute steps mean nothing where weights can be rescaled at no cost, so the "
            "steps are relative, [(D3)](#D3), and what is measured is a share, [(D4)](#D4). "
            "{cite:t}`santurkar2018how` proposed smoothness as the reason."
        ),
        where=("D3", "D4"),
    ),
    Claim(
        number=24,
        group="benefits",
        verdict="holds under conditions",
        claim="It makes networks of more than 100 layers trainable.",
        question="Does it make 100 layers learn?",
        answer=(
            "Here only together with shortcuts: a plain net of 100 layers with batch norm stayed "
            "at chance at each rate tried."
        ),
        evidence=(
            "The product of a block's factors is a power of the depth with shortcuts, "
            "[(H6)](#H6), and an exponential without. With shortcuts, branches that start at "
            "zero learn without batch norm, too; {cite:t}`de2020batch` see in the small "
            "branches what batch norm gives. Deep plain nets can be trained if their activations "
            "are kept nearly straight {cite:p}`yang2019mean`."
        ),
        where=("H6", "how_deep#deep-verdict"),
    ),
    Claim(
        number=25,
        group="benefits",
        verdict="holds under conditions",
        claim=(
            "The noise of the batch regularises, so that it can replace dropout, or be "
            "combined with it."
        ),
        question="Can you count on it as your regulariser?",
        answer=(
            "Not at usual batch sizes, where its noise is that of a faint dropout: on few digits "
            "it gained no more than the seeds differ, on few clothes its median gained several "
            "points, and whether the noise is the reason was not shown."
        ),
        evidence=(
            "How much dropout a batch of $N$ is worth: [(U5)](#U5). {cite:t}`ioffe2015batch` "
            "write that it makes dropout needless in some cases, {cite:t}`luo2019towards` "
            "work the noise out as a penalty, {cite:t}`summers2020four` report that smaller "
            "groups regularise on larger tasks; {cite:t}`garbin2020dropout` compare both. If "
            "you combine them, put dropout behind the last batch norm "
            "{cite:p}`li2018understanding`. One module, one purpose, as one of the articles "
            "says."
        ),
        where=("U5", "what_it_buys#noise-of-the-batch"),
    ),
    Claim(
        number=26,
        group="benefits",
        verdict="holds under conditions",
        claim="It gives stability and speed rather than accuracy.",
        question="Is the accuracy better, too?",
        answer=(
            "Not here: each network that learned at its own best rate ended within a few "
            "points of the others; on ImageNet the paper reports better accuracy as well."
        ),
        evidence=(
            "Three layers on small digits, where one image is half a point. "
            "{cite:t}`ioffe2015batch` beat the original model by a margin that they call "
            "significant; this book has trained no network of that size."
        ),
        where=("what_it_buys#buys-verdict",),
    ),
    Claim(
        number=27,
        group="benefits",
        verdict="holds",
        claim="It cut the training time on ImageNet and paved the way for residual networks.",
        question="Was training so much shorter, and did residual networks build on it?",
        answer=(
            "Yes, counted in steps: less than half by the layer alone, 14 times fewer with the "
            "other changes that it allowed, and the first residual networks have it after each "
            "convolution."
        ),
        evidence=(
            "{cite:t}`ioffe2015batch`; {cite:t}`he2016deep`. Why the two go together: with "
            "batch norm the branch of a block is small beside its shortcut, [(C9)](#C9) "
            "{cite:p}`de2020batch`."
        ),
        where=("what_it_buys#measure-the-speed", "C9", "glossary#where-it-is-used"),
    ),
    Claim(
        number=28,
        group="frameworks",
        verdict="holds",
        claim=(
            "PyTorch has `BatchNorm1d`, `2d` and `3d` with `num_features`, `eps`, `momentum`, "
            r"`affine` and `track_running_stats`; $\gamma$ starts at 1, $\beta$ at 0, and a "
            "new batch weighs 0.1."
        ),
        question="What do the options of PyTorch's layer not say?",
        answer=(
            "That the stored variance is the unbiased one, and that 1d, 2d and 3d differ only "
            "in the shape they accept."
        ),
        evidence=(
            "Every option at its default is printed from the installed version. The training "
            "step with its memory is [(L1)](#L1), and statistics of a channel pool the "
            "pixels, [(C1)](#C1) {cite:p}`paszke2019pytorch`."
        ),
        where=("layers#layers-table", "L1"),
    ),
    Claim(
        number=29,
        group="frameworks",
        verdict="holds",
        claim=(
            "Keras has `BatchNormalization` with `axis`, `momentum` 0.99, `epsilon` 0.001, "
            "`center` and `scale`, TensorFlow the bare formula; training and inference "
            "differ."
        ),
        question="What do the options of Keras's layer not say?",
        answer=(
            "That its momentum weighs the old value, that the stored variance is biased, and "
            "that `trainable=False` also means inference."
        ),
        evidence=(
            "The step is [(L4)](#L4), the modes are a table made by trying them "
            "{cite:p}`chollet2015keras,abadi2016tensorflow`. On PyTorch Keras computes the "
            "variance in a way that loses digits far from zero."
        ),
        where=("L4", "layers#know-the-mode", "layers#layers-answer"),
    ),
    Claim(
        number=30,
        group="frameworks",
        verdict="holds",
        claim=(
            "A Keras classifier is Dense 64, batch norm, ReLU, Dense 32, batch norm, ReLU, "
            "Dense 1 with a sigmoid: three layers of the library are one layer on paper."
        ),
        question="How many numbers does it hold for 20 inputs, and how many of them are trained?",
        answer=(
            "With the redundant biases, which the claim has, 96 more than the 3745 that it needs; "
            "of these 3553 are trained, since half of a batch norm's four numbers a feature are "
            "averages."
        ),
        evidence=(
            "The activation has to leave the dense layer, or batch norm would come after it. "
            "The count is made layer by layer, and set 5 has you build the model and print "
            "its summary {cite:p}`chollet2015keras`."
        ),
        where=("layers#what-the-layer-holds", "F5"),
    ),
    Claim(
        number=31,
        group="frameworks",
        verdict="wrong",
        claim=(
            "A classifier of digits, trained with and without batch norm, shows in four loss "
            "curves what batch norm does."
        ),
        question="What do the published curves show?",
        answer=(
            "A network with an output layer against one without: in the code neither has "
            "batch norm."
        ),
        evidence=(
            "The flag adds the output layer in the place of batch norm. Rebuilt, explained, "
            "repaired and drawn [at the end of this page](#repair-a-comparison); the loss of "
            "the broken half is [(Q1)](#Q1)."
        ),
        where=("Q1", "famous_bugs"),
    ),
    Claim(
        number=32,
        group="frameworks",
        verdict="holds",
        claim="Set the number of features to the number of neurons or filters.",
        question="Of which layer?",
        answer=(
            "Of the layer just before it: the units of a dense layer, the filters of a "
            "convolution, whatever height and width are."
        ),
        evidence=(
            "A layer for $C$ channels holds $2C$ parameters; the page checks it for both "
            "kinds, and that a wrong number of axes is refused {cite:p}`paszke2019pytorch`."
        ),
        where=("convolution#a-channel-is-one-feature",),
    ),
    Claim(
        number=33,
        group="frameworks",
        verdict="holds",
        claim=(
            "In a multilayer perceptron each feature has its statistics, in a convolutional "
            "net each filter."
        ),
        question="Over which numbers does each mean run?",
        answer=(
            "Over the $N$ examples for a unit of a dense layer, over $N$ images and all their "
            "positions for a filter."
        ),
        evidence=(
            "[(F1)](#F1) and [(C1)](#C1) are one formula once pixels are read as rows. One "
            "mean for each pixel would break the meaning of a convolution: moved images would "
            "not give moved outputs {cite:p}`ioffe2015batch`."
        ),
        where=("F1", "C1", "convolution#a-channel-is-one-feature"),
    ),
    Claim(
        number=34,
        group="limits",
        verdict="holds under conditions",
        claim=(
            "Small batches, down to one example, give poor statistics; layer norm and "
            "instance norm are the way out."
        ),
        question="How small is too small?",
        answer=(
            "It depends on how many independent values a mean has: two examples of a dense "
            "layer leave only their order, while two images have many pixels; for images "
            "group norm is the usual way out."
        ),
        evidence=(
            "The bounds for one and two examples: [(F13)](#F13). What the pixels of an image "
            "are worth: [(C8)](#C8), [(C10)](#C10). {cite:t}`wu2018group` measured how the "
            "error rises at small batches and proposed group norm, which at usual sizes did "
            "better than the other relatives that they tried. Layer norm "
            "{cite:p}`ba2016layer` suits sequences; instance norm takes the contrast out of "
            "single images {cite:p}`ulyanov2016instance`."
        ),
        where=("F13", "C8", "when_it_fails#T4"),
    ),
    Claim(
        number=35,
        group="limits",
        verdict="holds under conditions",
        claim=(
            "Sequences of different length do not suit it; batch renorm, weight norm and "
            "layer norm are remedies."
        ),
        question="What goes wrong with sequences, and what helps?",
        answer=(
            "A recurrent network wants statistics for each time step, and late steps have few "
            "sequences; layer norm and weight norm look at no other example, while batch "
            "renorm still takes the statistics of a batch."
        ),
        evidence=(
            "{cite:t}`cooijmans2017recurrent` keep statistics for each step. "
            "{cite:t}`ba2016layer` and {cite:t}`salimans2016weight` name recurrent networks "
            "as what their methods are good for; {cite:t}`ioffe2017renorm` made renorm for "
            "batches that are small or not drawn at random."
        ),
        where=("C4", "D5", "when_it_fails#T6", "relatives#A2"),
    ),
    Claim(
        number=36,
        group="limits",
        verdict="not supported",
        claim="It makes a network harder to interpret; normalising by feature is a remedy.",
        question="Is a network with batch norm harder to read?",
        answer=(
            "At inference no more than one without, since a layer behind a linear one folds "
            "into it and the function stays; and batch norm does normalise by feature."
        ),
        evidence=(
            "Folding changes nothing but rounding, [(C7)](#C7). There is something to the "
            "claim: in training an output depends on its company, and a way of explaining "
            "that goes layer by layer needs a rule for this layer {cite:p}`hui2019batchnorm`, "
            "or folds it first {cite:p}`guillemot2020breaking`. Each feature has its own "
            "statistics already, [(F1)](#F1)."
        ),
        where=("C7", "R10", "inference#inference-company", "when_it_fails"),
    ),
    Claim(
        number=37,
        group="limits",
        verdict="holds under conditions",
        claim=(
            "It costs computation in training and at inference, above all on small devices; a "
            "fused layer costs less."
        ),
        question="What does it cost, and when?",
        answer=(
            "In training a pass over all activations more, which fusing shortens; at "
            "inference nothing where it stands behind a linear layer and is folded into it."
        ),
        evidence=(
            "A step with batch norm is timed on the machine that builds the book; at "
            "inference [(C7)](#C7) leaves no layer at all, on small devices too "
            "{cite:p}`jacob2018quantization`. {cite:t}`garbin2020dropout` measured that both "
            "training and prediction get slower, where nothing is folded. To fuse means to do "
            "all operations on a number while it is at hand; what is moved then is less, and "
            "never nothing."
        ),
        where=("what_it_buys#measure-the-speed", "C7", "system#Y1"),
    ),
    Claim(
        number=38,
        group="limits",
        verdict="holds",
        claim="It converges to other solutions for other batch sizes.",
        question="Does the batch size change what is learned?",
        answer=(
            "Yes: with another batch size the layer is another function with another noise, "
            "so the objective is another one."
        ),
        evidence=(
            "The noise falls as $1/N$, [(U3)](#U3), and so does the floor of [(F16)](#F16). "
            "{cite:t}`lian2019revisit` write the objective down. A part of the effect is no "
            "matter of batch norm: {cite:t}`keskar2017large` put the other solutions of large "
            "batches down to the noise of the gradient."
        ),
        where=("U3", "F16", "relatives#A7", "when_it_fails"),
    ),
    Claim(
        number=39,
        group="advances",
        verdict="not supported",
        claim=(
            "Batch Layer Normalization weighs batch and features by the inverse size of the "
            "batch, and converges faster than both in convolutional and recurrent networks."
        ),
        question="Does it converge faster?",
        answer=(
            "Its authors report so; in our small grid it was ahead of batch norm nowhere that "
            "either learned, though the grid measures accuracy and not speed."
        ),
        evidence=(
            "{cite:t}`ziaee2022batch`: the weights, and a choice of statistics at inference, "
            "are as the claim says. For large batches the weight of the features is small, so "
            "the layer is nearly batch norm divided by $\\sqrt{D}$. By [(U2)](#U2) a speed-up "
            "needs each rival at its own best rate."
        ),
        where=("U2", "relatives#A3", "relatives#relatives-grid"),
    ),
    Claim(
        number=40,
        group="advances",
        verdict="holds under conditions",
        claim=(
            "Full Normalization treats training as a compositional optimisation, for batches "
            "that are not ideal."
        ),
        question="What does it mend?",
        answer=(
            "That batch norm minimises another objective, which shows where batches are not "
            "like the data; its cure has a proof of convergence and the experiments of its "
            "authors."
        ),
        evidence=(
            "{cite:t}`lian2019revisit`. How much of the variance lies between unlike batches, "
            "and is missed by each of them: [(R8)](#R8)."
        ),
        where=("R8", "relatives#A7", "when_it_fails#T5"),
    ),
    Claim(
        number=41,
        group="advances",
        verdict="holds under conditions",
        claim="Corrected formulas exist for inference with poor statistics of the batch.",
        question="Can poor statistics be repaired after training?",
        answer=(
            "Yes where the stored ones lag: measured again with the present weights they gained "
            "percentage points on each seed early in training, and little later; the correction "
            "for small batches that we tried gained next to nothing."
        ),
        evidence=(
            "Pooling the batches is [(R9)](#R9), the PreciseBN of {cite:t}`wu2021rethinking`. "
            "For training with small batches {cite:t}`singh2019evalnorm` correct the "
            "statistics of an evaluation, and {cite:t}`summers2020four` count the current "
            "example in."
        ),
        where=("R9", "inference#inference-answer", "relatives#A9"),
    ),
)
