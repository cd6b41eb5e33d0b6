import type { z } from 'zod'

type Issue = z.core.$ZodIssue

/** What is wrong with a model's entry, a line each: the field and what it must be, never its value. */
export const faultLines = (error: z.ZodError): string[] => error.issues.flatMap(linesOf)

function linesOf(issue: Issue): string[] {
  if (issue.code === 'unrecognized_keys') {
    const shown = issue.keys.map((key) => JSON.stringify(key.slice(0, 100)))
    return shown.map((key) => `${fieldOf(issue.path)} has no field ${key}`)
  }
  return [`${fieldOf(issue.path)} ${messageOf(issue)}`]
}

function fieldOf(path: Issue['path']): string {
  const keys = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
  return keys.length === 0 ? 'a model' : keys.join('').slice(1)
}

function messageOf(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_value':
      return `must be one of ${issue.values.join(', ')}`
    case 'invalid_type':
      return issue.message.endsWith('received undefined')
        ? 'is required'
        : `must be of the type ${issue.expected}`
    default:
      return issue.message
  }
}
