import { InvalidArgumentError, Option } from 'commander'

export function wholeNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It is no whole number.')
}

export function amount(text: string): number {
  if (/^\d{1,15}(\.\d+)?$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It is no amount.')
}

/** For logins: a key has its own. */
export const modeOption = (): Option =>
  new Option('--mode <mode>', 'with a login: live or test (default live)').choices(['live', 'test'])
