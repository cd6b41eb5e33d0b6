import type { Round } from './rounds.ts'

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0)

/** What the rounds came to, in lines for people. */
export function figuresOf(rounds: readonly Round[]): string[] {
  return [...Map.groupBy(rounds, ({ engine }) => engine)].flatMap(([engine, of]) => [
    `${engine}: ${of.length} kills, ${sum(of.map(({ faults }) => faults.length))} faults, ` +
      `${of.filter(({ reached }) => reached).length} at their point; ` +
      `longest takeover ${Math.max(...of.map(({ takeoverMs }) => takeoverMs))} ms`,
    ...totals(of),
    ...[...Map.groupBy(of, ({ point }) => point)].map(
      ([point, at]) =>
        `  ${point}: ${at.filter(({ reached }) => reached).length} of ${at.length} reached`,
    ),
    ...of.flatMap(({ round, point, faults }) =>
      faults.map((fault) => `  round ${round}, ${point}: ${fault}`),
    ),
  ])
}

/** Counts grow from round to round and begin anew with each database. */
function totals(rounds: readonly Round[]): string[] {
  const last = rounds.filter(({ orders }, index) => (rounds[index + 1]?.orders ?? 0) < orders)
  const all = (name: 'orders' | 'answered' | 'calls') => sum(last.map((round) => round[name]))
  return [`  ${all('orders')} orders, ${all('answered')} answered 200, ${all('calls')} calls`]
}
