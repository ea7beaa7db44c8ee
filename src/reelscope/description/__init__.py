"""What the video is, for whom and why it works, in words: prompt, request, parse."""
