"""What produces motion from the outside world; today the camera. Each driver hides one library."""
