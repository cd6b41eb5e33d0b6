/** Micro-dollars as US dollars, for answers; inside, money is integer micro-dollars. */
export const usdOf = (micros: number): number => micros / 1e6
export const usdOrNull = (micros: number | null): number | null =>
  micros === null ? null : usdOf(micros)

/** US dollars from a caller as micro-dollars, rounded to the nearest. */
export const microsOf = (usd: number): number => Math.round(usd * 1e6)
export const microsOrNull = (usd: number | null | undefined): number | null =>
  usd === null || usd === undefined ? null : microsOf(usd)
