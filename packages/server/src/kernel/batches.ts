const BATCH_LENGTH = 1000

/**
 * Repeats a bounded deletion until it finds no more, or is told to stop: no statement of it holds
 * locks for long. Resolves to how many rows went.
 */
export async function deleteInBatches(
  deleteSome: (limit: number) => Promise<number>,
  signal: AbortSignal,
): Promise<number> {
  let total = 0
  while (!signal.aborted) {
    const deleted = await deleteSome(BATCH_LENGTH)
    total += deleted
    if (deleted < BATCH_LENGTH) break
  }
  return total
}
