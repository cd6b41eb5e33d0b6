import type { RawBuilder } from 'kysely'

/** What is always true of the database and the store, in the words that an operator reads. */
export const INVARIANTS = {
  I1: 'a generation has ended, or a living process holds it',
  I2: 'the ledger takes the price of a success, what runs has reserved, and nothing of a failure',
  I3: 'the counter of a month is the sum of its ledger rows, and within the limit',
  I4: 'an image has its object with the recorded SHA-256, and an old object has its image',
  I5: 'the provider is called no more often than allowed',
  I6: 'an idempotency key stands for one generation while its record lives',
  I7: 'each end of a generation has one delivery to each endpoint that is told of it, under one id',
  I8: "the usage of a day is the sum of the ledger's rows",
  I9: 'the counter of stored bytes is the sum of the images that hold some',
} as const
export type Invariant = keyof typeof INVARIANTS

export interface Violation {
  readonly invariant: Invariant
  /** What is wrong, in a sentence. */
  readonly what: string
  /** UUIDs of the rows, or keys of the objects. */
  readonly ids: readonly string[]
}

/** A statement with one row for each violation of an invariant. */
export interface Search {
  readonly invariant: Invariant
  readonly statement: RawBuilder<Omit<Violation, 'invariant'>>
}
