/** The Euclidean length of each row of a matrix, summed in float64. */
export function rowLengths(matrix: Float32Array, width: number): Float32Array {
  return Float32Array.from({ length: matrix.length / width }, (_, row) => {
    let squares = 0
    for (let i = row * width; i < (row + 1) * width; i++) squares += (matrix[i] as number) ** 2
    return Math.sqrt(squares)
  })
}
