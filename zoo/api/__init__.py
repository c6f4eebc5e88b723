"""The functions and classes behind `import zoo`."""
