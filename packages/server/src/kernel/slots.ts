/** Places in this process, of which no account may hold all. */
export interface Slots {
  /** Takes a place; undefined where there is none. The answer gives it back. */
  take(userId: string): (() => void) | undefined
  readonly taken: number
}

export function createSlots({ max, perAccount }: { max: number; perAccount: number }): Slots {
  const byAccount = new Map<string, number>()
  let taken = 0
  const add = (userId: string, more: 1 | -1) => {
    taken += more
    const those = (byAccount.get(userId) ?? 0) + more
    if (those === 0) byAccount.delete(userId)
    else byAccount.set(userId, those)
  }
  return {
    get taken() {
      return taken
    },
    take(userId) {
      if (taken >= max || (byAccount.get(userId) ?? 0) >= perAccount) return undefined
      add(userId, 1)
      let isHeld = true
      return () => {
        if (isHeld) add(userId, -1)
        isHeld = false
      }
    },
  }
}
