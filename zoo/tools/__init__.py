"""What one does with models and runs besides training and using them: functions, and what they need."""
