import type { Tx } from '../db/client.ts'

/**
 * What waits for a worker, in any process: ids of generations. It holds only what waits. Whoever
 * takes an id sets its row running in the same transaction, and from then on the row's lease says
 * who holds it; so none is lost between the two, and none is held by both.
 */
export interface Queue {
  /** Adds an id, in the transaction that writes its row. One that waits already stays as it is. */
  enqueue(tx: Tx, id: string, options: EnqueueOptions): Promise<void>
  /** Takes the next id that is due off the queue; undefined where there is none. */
  take(tx: Tx): Promise<string | undefined>
  close(): Promise<void>
}

export interface EnqueueOptions {
  /** Higher goes first; equals go in the order in which they came. */
  readonly priority: number
  /** Not before so many seconds have passed; default 0. */
  readonly delaySeconds?: number
}
