"""What papers print, a file a paper, to be compared with: nothing here is an input to a result."""
