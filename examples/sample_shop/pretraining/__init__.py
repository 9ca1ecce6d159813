"""Trains the sample tower, the image tower that ``make demo`` begins with.

python -m examples.sample_shop.pretraining --scratch FOLDER --out FOLDER

other_shops   products of other seeds than the demo's, in other colours and scenes
training_set  their images, texts and labels, drawn once; random batches of them
losses        what is brought together
fit           the training itself
held_out      shops that nothing is learnt from, and the scores on them
card          the model card

The result lies in recsys/encoder/towers/weights and is ``pretrained = "sample"`` of a small image tower.
"""
