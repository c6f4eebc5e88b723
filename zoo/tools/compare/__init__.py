"""Compare models, measure published metrics again, and train published weights again."""
