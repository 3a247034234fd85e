/** A data file: the name that errors and records show (as the user wrote it) and where it lies. */
export interface SourceFile {
  name: string
  path: string
}

/** A row as its file holds it, not yet looked at. `at` is `file:row`. */
export interface SourceRow {
  at: string
  value: unknown
}
