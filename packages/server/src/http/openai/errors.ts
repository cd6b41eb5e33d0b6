import { AppError, toAppError } from '../../kernel/app-error.ts'

/** Names of ours for what has another name on these routes. */
const NAMES: Readonly<Record<string, string>> = {
  images: 'image',
  output_quality: 'output_compression',
  aspect_ratio: 'size',
}

/** What went wrong with a generation, by the names that its caller used. */
export function renamed(error: unknown): AppError {
  const ours = toAppError(error)
  const { code, message, param, retryAfterSeconds, headers, cause } = ours
  const [first = '', ...rest] = param?.split('.') ?? []
  const name = Object.hasOwn(NAMES, first) ? NAMES[first] : undefined
  if (param === null || name === undefined) return ours
  const theirs = [name, ...rest].join('.')
  const text = message.startsWith(param) ? theirs + message.slice(param.length) : message
  return new AppError(code, text, { param: theirs, retryAfterSeconds, headers, cause })
}
