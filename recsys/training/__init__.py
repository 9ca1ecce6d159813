"""Fine-tuning of the product encoder: what it learns from, how, and when it stops. The door is run.py.

    near         near-equal images
    splits       who is trained on, validated on, held out
    assignment   the split as an artifact
    supervision  label levels, item groups and judged pairs of a snapshot, as arrays
    sampler      batches of P classes times K items, a function of (seed, batch number)
    augment      random crop, flip, colour, blur of one image
    data         decoded-image cache, data set, loader
    objectives/  terms of the loss behind one seam
    schedule     learning rate over steps and wall clock
    module       the Lightning module
    resume       checkpoints that survive kills, the wall clock, the best weights
    retrieval    the validation figure
    card         the model card
    run          the door

Does not know: the gate (evaluation decides who serves), the index.
"""
