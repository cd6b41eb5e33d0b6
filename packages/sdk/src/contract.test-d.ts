import type { inferRouterInputs, inferRouterOutputs } from '@trpc/server'
import { expectTypeOf, test } from 'vitest'
import type { AppRouter } from '../../server/src/router.ts'
import type { Api } from './generated/api.ts'
import type { Model } from './generated/types.ts'
import type { CallOptions } from './request.ts'

// The generated interface against the router itself, for every procedure there is: `generate --check`
// tells that a file is stale, these tests that the generator writes what is true.

type Method = (...args: never[]) => Promise<unknown>

/** `logout_all` → `logoutAll` */
type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name

type NoInput = 'no input'

// What the SDK says.
type SdkInput<M extends Method> =
  Parameters<M> extends [options?: CallOptions] ? NoInput : Parameters<M>[0]
type SdkInputs = {
  [G in keyof Api]: Api[G] extends Method
    ? SdkInput<Api[G]>
    : { [N in keyof Api[G]]: Api[G][N] extends Method ? SdkInput<Api[G][N]> : never }
}
type SdkOutputs = {
  [G in keyof Api]: Api[G] extends Method
    ? Awaited<ReturnType<Api[G]>>
    : { [N in keyof Api[G]]: Api[G][N] extends Method ? Awaited<ReturnType<Api[G][N]>> : never }
}

// What the router says, under the names of the SDK.
type RouterInput<I> = string extends keyof Exclude<I, undefined | void>
  ? NoInput
  : object extends I
    ? I | undefined
    : I
/** tRPC's name for no output is never. */
type RouterOutput<O> = [O] extends [never] ? void : O

type Inputs = inferRouterInputs<AppRouter>
type Outputs = inferRouterOutputs<AppRouter>
type Group<T> = Extract<keyof T, string>
type IsMethod<G> = G extends keyof Api ? (Api[G] extends Method ? true : false) : false

type RouterInputs = {
  readonly [G in keyof Inputs]: IsMethod<G> extends true
    ? RouterInput<Inputs[G]>
    : { [N in Group<Inputs[G]> as CamelCase<N>]: RouterInput<Inputs[G][N]> }
}
type RouterOutputs = {
  readonly [G in keyof Outputs]: IsMethod<G> extends true
    ? RouterOutput<Outputs[G]>
    : { [N in Group<Outputs[G]> as CamelCase<N>]: RouterOutput<Outputs[G][N]> }
}

test('every method takes what its procedure takes', () => {
  expectTypeOf<Readonly<SdkInputs>>().toEqualTypeOf<RouterInputs>()
})

test('every method answers what its procedure answers', () => {
  expectTypeOf<Readonly<SdkOutputs>>().toEqualTypeOf<RouterOutputs>()
})

test('images are uploads or references, and a model is suggested but may be any', () => {
  type Input = SdkInputs['generate']
  expectTypeOf<NonNullable<Input['images']>[number]>().toEqualTypeOf<
    { data: string; mime_type?: string } | { generation_id: string; image_id?: string }
  >()
  expectTypeOf<'a-model-of-yours'>().toExtend<Input['model']>()
  expectTypeOf<Input['model']>().not.toEqualTypeOf<string | undefined>()
  expectTypeOf<Model['aspect_ratios'][number]>().toExtend<Input['aspect_ratio']>()
})

test('the comparison compares', () => {
  expectTypeOf<SdkInputs['auth']['me']>().toEqualTypeOf<NoInput>()
  expectTypeOf<RouterOutputs['keys']['revoke']>().toEqualTypeOf<void>()
  expectTypeOf<RouterOutputs['generate']['status']>().toEqualTypeOf<
    'queued' | 'running' | 'succeeded' | 'failed' | 'canceled'
  >()
  expectTypeOf<RouterInputs['keys']['create']['name']>().toEqualTypeOf<string>()
  expectTypeOf<undefined>().toExtend<RouterInputs['generations']['list']>()
})
