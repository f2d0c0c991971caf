"""Fine-tune and score encoders: config -> plan -> trial -> run -> loop, scoring -> rows."""
