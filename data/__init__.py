"""Files to Arrow, Arrow to token records, token records to batches. Imports nothing of ours."""
