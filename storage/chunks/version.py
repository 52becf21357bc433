"""Versions of chunks, and the sizes that everybody agrees upon."""

CHUNK_SIZE = 4 << 20  # bytes; the number of a chunk is its volume's offset divided by this
FAMILY_SIZE = 16  # bytes of an id
NUMBER_LIMIT = 1 << 32  # chunks of a volume
ID_LIMIT = 1 << 64  # layers, epochs, sequences

Version = tuple[int, int]  # epoch of the writer's lease, and its sequence number: compared as a pair
NOTHING: Version = (0, 0)  # of a chunk that is not there
NEVER = ID_LIMIT - 1  # an epoch that no writer gets: what is fenced by it is never written again
