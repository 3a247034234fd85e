/** How the model was taught to converse: what an export tells the programs that will run it. */
export interface Dialogue {
  /** The chat template (Jinja) that the training text was made with, where it is not the tokenizer's own. */
  chatTemplate?: string | undefined
  /** The token that ends an answer, where it is not the tokenizer's end of sequence. */
  endOfTurn?: { id: number; token: string } | undefined
}
