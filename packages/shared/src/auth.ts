import { z } from 'zod'
import { codePoints, text, timestamp, typeId } from './text.ts'

export const UserId = typeId('user', 'user_01jd5xk3f8e2r9v7m6q4t0w1yz')

// Broad bounds only: what is an acceptable address or password is decided by the service, so that
// register, login and password change cannot drift apart.
const email = text().min(3).max(320).describe('Email address, 254 bytes at most; case is ignored.')
const password = text().min(1).meta({
  format: 'password',
  description: 'At least 8 characters, at most 72 bytes of UTF-8.',
})

const EXAMPLE_ACCOUNT = { email: 'you@example.com', password: 'correct horse battery' }

export const Account = z
  .object({
    id: UserId,
    email: z.string(),
    name: z.string().nullable(),
    created_at: timestamp(),
  })
  .meta({ id: 'Account', description: 'An account.' })
export type Account = z.infer<typeof Account>

export const RegisterInput = z
  .strictObject({
    email,
    password,
    name: text()
      .refine((value) => value.trim() !== '' && codePoints(value) <= 64, {
        error: 'must have 1 to 64 characters',
      })
      .optional()
      .describe('Display name, 1 to 64 characters.'),
    registration_token: text()
      .min(1)
      .max(256)
      .optional()
      .describe('Needed when the operator set REGISTRATION=token.'),
  })
  .meta({ id: 'RegisterInput', examples: [EXAMPLE_ACCOUNT] })
export type RegisterInput = z.infer<typeof RegisterInput>

export const LoginInput = z
  .strictObject({ email, password })
  .meta({ id: 'LoginInput', examples: [EXAMPLE_ACCOUNT] })
export type LoginInput = z.infer<typeof LoginInput>

export const AccessToken = z
  .object({
    access_token: z.string().describe('JWT (HS256); send it as `Authorization: Bearer …`.'),
    token_type: z.literal('bearer'),
    expires_in: z.int().describe('Seconds until the token ends: 604800, one week.'),
  })
  .meta({ id: 'AccessToken' })
export type AccessToken = z.infer<typeof AccessToken>

export const Me = Account.extend({
  monthly_limit_usd: z
    .number()
    .nullable()
    .describe('Spending limit per UTC month in US dollars; null means none.'),
  spent_this_month_usd: z.number().describe('Spent in this UTC month, in US dollars.'),
}).meta({ id: 'Me', description: 'The account behind the credential.' })
export type Me = z.infer<typeof Me>

export const ChangePasswordInput = z
  .strictObject({
    current_password: password,
    new_password: password,
    revoke_keys: z
      .boolean()
      .default(false)
      .describe('Revokes every API key of the account as well; by default they go on working.'),
  })
  .meta({ id: 'ChangePasswordInput' })
export type ChangePasswordInput = z.infer<typeof ChangePasswordInput>

export const DeleteAccountInput = z.strictObject({ password }).meta({ id: 'DeleteAccountInput' })
export type DeleteAccountInput = z.infer<typeof DeleteAccountInput>
