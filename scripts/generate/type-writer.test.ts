import { expect, test } from 'vitest'
import {
  CreateKeyInput,
  Generation,
  Image,
  ImageInput,
  KeyIdInput,
  Mode,
  ModelName,
} from '../../packages/shared/src/index.ts'
import { createTypeWriter } from './type-writer.ts'

const declarationOf = (
  name: string,
  ...args: Parameters<ReturnType<typeof createTypeWriter>['typeOf']>
) => {
  const writer = createTypeWriter()
  writer.typeOf(...args)
  return writer.declarations().get(name) ?? ''
}

test('a schema with an id becomes an interface of that name, and so does each within it', () => {
  const writer = createTypeWriter()
  expect(writer.typeOf(Generation, 'output')).toBe('Generation')
  const names = [...writer.declarations().keys()]
  expect(names).toEqual([
    'Generation',
    'GenerationError',
    'GenerationStatus',
    'Image',
    'Mode',
    'Warning',
  ])
  expect(writer.declarations().get('Generation')).toContain('\n  images: Image[]\n')
})

test('a description becomes a comment, a default makes a field of the input optional', () => {
  const text = declarationOf('CreateKeyInput', CreateKeyInput, 'input')
  expect(text).toContain(
    '  /** Your own name for the key, 1 to 64 characters. */\n  name: string\n',
  )
  expect(text).toContain("   * @default 'live'\n   */\n  mode?: Mode\n")
  expect(text).toContain('  /** Default: `generate` and `read`. */\n  scopes?: Scope[]\n')
  expect(text).toContain('  expires_at?: string | null\n')
})

test('an open list suggests its values and takes any text, one to a line where it is long', () => {
  const text = declarationOf('ModelName', ModelName, 'input')
  expect(text).toContain("export type ModelName =\n  | 'gemini-nano-banana-2.1'\n")
  expect(text).toMatch(/\n {2}\| \(string & Record<never, never>\)$/)
})

test('bytes in an input are base64 text, whatever the entrances put in their place', () => {
  const writer = createTypeWriter()
  expect(writer.typeOf(ImageInput, 'input')).toBe('ImageInput')
  const written = writer.declarations()
  expect(written.get('ImageInput')).toBe('export type ImageInput = UploadInput | ReferenceInput')
  expect(written.get('UploadInput')).toContain('\n  data: string\n')
})

test('an object without an id is written in place', () => {
  const anonymous = KeyIdInput.extend({ mode: Mode.optional() })
  expect(createTypeWriter().typeOf(anonymous, 'input')).toBe(
    '{\n  id: string\n  /** `live` calls the provider; `test` makes free sandbox pictures. */\n  mode?: Mode\n}',
  )
})

test('two different types under one id stop the generator', () => {
  const writer = createTypeWriter()
  writer.typeOf(Image, 'output')
  const other = Image.omit({ url: true }).meta({ id: 'Image' })
  expect(() => writer.typeOf(other, 'output')).toThrow('Two different types have the id "Image"')
})

test('one type under one id may be met often', () => {
  const writer = createTypeWriter()
  writer.typeOf(Image, 'output')
  expect(writer.typeOf(Image, 'output')).toBe('Image')
})

test('one id for an input and an output that differ stops the generator', () => {
  const writer = createTypeWriter()
  writer.typeOf(CreateKeyInput, 'input')
  expect(() => writer.typeOf(CreateKeyInput, 'output')).toThrow('"CreateKeyInput"')
})

test('an id that is no name of a type stops the generator', () => {
  const schema = KeyIdInput.extend({}).meta({ id: 'key id' })
  expect(() => createTypeWriter().typeOf(schema, 'input')).toThrow('"key id"')
})
