/** Bytes of pictures that one process may hold at once, shared by all who hold some. */
export interface Room {
  /** Takes bytes; false, and nothing is taken, where there are not as many left. */
  take(bytes: number): boolean
  give(bytes: number): void
  /** How many are taken now. */
  taken(): number
}

export function createRoom(bytes: number): Room {
  let left = bytes
  return {
    take(wanted) {
      if (wanted > left) return false
      left -= wanted
      return true
    },
    give(given) {
      left += given
    },
    taken: () => bytes - left,
  }
}
