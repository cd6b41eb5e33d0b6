/** Who is counted at once: each holder has a share of the whole. */
export interface Holder {
  /** Such as an address, a credential or an account; the names of two kinds never meet. */
  readonly kind: string
  readonly name: string
  /** Of the whole, 0 to 1. */
  readonly share: number
}

/** A bounded number of places, of which no holder gets more than a share. */
export class Slots {
  readonly #limit: number
  readonly #held = new Map<string, number>()
  #taken = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get taken(): number {
    return this.#taken
  }

  get isFull(): boolean {
    return this.#taken >= this.#limit
  }

  /** Whether the holder has all that it may have. */
  isUsedUp(holder: Holder): boolean {
    return (this.#held.get(nameOf(holder)) ?? 0) >= Math.ceil(this.#limit * holder.share)
  }

  take(holders: readonly Holder[]): void {
    this.#taken++
    for (const holder of holders) this.hold(holder)
  }

  give(holders: readonly Holder[]): void {
    this.#taken--
    for (const holder of holders) this.#add(nameOf(holder), -1)
  }

  /** Whether there is a place for the holder. */
  hasRoomFor(holder: Holder): boolean {
    return !this.isFull && !this.isUsedUp(holder)
  }

  /** A place for the holder, which the answer gives back once; undefined where there is none for it. */
  tryTake(holder: Holder): (() => void) | undefined {
    if (!this.hasRoomFor(holder)) return undefined
    this.take([holder])
    let isHeld = true
    return () => {
      if (isHeld) this.give([holder])
      isHeld = false
    }
  }

  /** One more holder of a place that is taken. */
  hold(holder: Holder): void {
    this.#add(nameOf(holder), 1)
  }

  #add(name: string, count: number): void {
    const held = (this.#held.get(name) ?? 0) + count
    if (held === 0) this.#held.delete(name)
    else this.#held.set(name, held)
  }
}

const nameOf = ({ kind, name }: Holder): string => `${kind} ${name}`
