/** A prompt or message of somebody else's must not steer the terminal. */
export const printable = (text: string): string => text.replace(/[\p{Cc}\p{Bidi_Control}]+/gu, ' ')

export const dollars = (usd: number): string => `$${usd.toFixed(6).replace(/0{1,4}$/, '')}`

/** To the minute, in UTC as the service counts. */
export const minute = (time: string | null): string =>
  time === null ? '-' : `${time.slice(0, 16).replace('T', ' ')}Z`

export const shorten = (text: string, length: number): string =>
  text.length > length ? `${text.slice(0, length - 1)}…` : text

/** Lines of columns, as wide as their widest cell; a terminal's edge cuts them. */
export function toColumns(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(printable))
  const widthOf = (column: number) => Math.max(...cells.map((row) => row[column]?.length ?? 0))
  const widths = (cells[0] ?? []).map((_, column) => widthOf(column))
  const line = (row: string[]) => {
    const padded = row.map((cell, column) => cell.padEnd(widths[column] ?? 0))
    return shorten(padded.join('  ').trimEnd(), process.stdout.columns ?? Infinity)
  }
  return cells.map(line).join('\n')
}
