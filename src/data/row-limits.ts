/**
 * Longest row of a file, in bytes. No context holds a row of this size (about 4 million tokens), so a longer one is a file
 * without line breaks or an attack; and it bounds what one row takes of memory.
 */
export const MAX_ROW_BYTES = 16 * 1024 * 1024
