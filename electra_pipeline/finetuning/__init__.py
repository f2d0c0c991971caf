"""Fine-tuning and scoring of encoders, trial by trial."""
