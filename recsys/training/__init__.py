"""Fine-tuning of the product encoder: what it learns from, how, and when it stops.

    plan             whether to train tonight, and why
    changes          how many products are new, or changed in what training reads
    drift            how many new products are unlike all that was trained on
    recipe           what the config leaves open, decided from the catalog
    settings         what an encoder is made with
    run              the stage: a snapshot in, a challenger out
    splits           who is trained on, who validates, who is held out
    near_duplicates  near-duplicate images, which join products into components
    supervision      label levels, item groups and judged pairs of a snapshot, as arrays
    initial_encoder  the zero-shot base or the champion
    preflight        whether there is anything to learn from
    data             images and texts of the training products; batches of tensors
    sampler          batches of P classes times K items, a function of (seed, batch number)
    image_cache      decoded images, memory-mapped
    augment          random crop, flip, colour, blur of one image
    fit              loader, module and trainer, run to the end
    memory           keeps freed memory in the process
    module           the Lightning module
    objectives/      terms of the loss
    weights          which weights are trained, at which rate
    schedule         learning rate over steps and wall clock
    validation       the score of an epoch
    unseen_classes   how far from the base an encoder may go, asked of classes left out
    resume           checkpoints that survive kills, the weights that are kept, when a run stops
    model_card       the model card

Does not know: the gate (evaluation decides who serves), the index.
"""
