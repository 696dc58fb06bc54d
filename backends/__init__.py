"""Training: distillation methods as small modules over shared losses, data records and a few trainers."""
