"""The trainer that the methods share, over TRL's: batches, the pass through the model, callbacks, checkpoints."""
