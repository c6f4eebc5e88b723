"""What generates the website of the documentation."""
