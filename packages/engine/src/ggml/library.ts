import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { DomainError } from '@deos/domain'
import koffi, { type KoffiFunc, type LibraryHandle } from 'koffi'
import { tensorTypes } from './tensor-type.ts'

/** The release of the prebuilt packages this binding was written and tested for; the C ABI is not frozen. */
export const PINNED_PACKAGE_VERSION = '3.21.1'
/** What `ggml_version()` answers in that release. */
export const PINNED_GGML_VERSION = '0.23.0'

/** Address of a C object. Never leaves the engine package. */
declare const native: unique symbol
export type Pointer = bigint & { readonly [native]: true }

export class UnsupportedPlatformError extends DomainError {
  readonly code = 'UNSUPPORTED_PLATFORM'
  readonly retriable = false
}

export class NativeLibraryError extends DomainError {
  readonly code = 'NATIVE_LIBRARY'
  readonly retriable = false
}

const cpuPackages: Readonly<Record<string, string>> = {
  'linux-x64': 'linux-x64',
  'linux-arm64': 'linux-arm64',
  'darwin-arm64': 'mac-arm64-metal',
  'darwin-x64': 'mac-x64',
  'win32-x64': 'win-x64',
  'win32-arm64': 'win-arm64',
}

/** Optional packages with accelerator backends, tried in order beside the CPU one. */
const acceleratorPackages: Readonly<Record<string, readonly string[]>> = {
  'linux-x64': ['linux-x64-cuda', 'linux-x64-vulkan'],
  'win32-x64': ['win-x64-cuda', 'win-x64-vulkan'],
}

interface LibraryFiles {
  readonly packageName: string
  readonly directory: string
  readonly base: string
  readonly ggml: string
  readonly llama: string
}

const require = createRequire(import.meta.url)

function packageDirectory(name: string): string | null {
  for (const base of require.resolve.paths(name) ?? []) {
    const directory = join(base, name)
    if (existsSync(join(directory, 'package.json'))) return directory
  }
  return null
}

function libraryNames(release: string): { base: string; ggml: string; llama: string } {
  if (process.platform === 'win32') return { base: 'ggml-base.dll', ggml: 'ggml.dll', llama: 'llama.dll' }
  const extension = process.platform === 'darwin' ? 'dylib' : 'so'
  return {
    base: `libggml-base.${extension}`,
    ggml: `libggml.${release}.${extension}`,
    llama: `libllama.${release}.${extension}`,
  }
}

/**
 * Finds the prebuilt libraries of one npm package.
 *
 * @throws NativeLibraryError if the package is another release than the pinned one
 */
function locate(shortName: string): LibraryFiles | null {
  const packageName = `@node-llama-cpp/${shortName}`
  const root = packageDirectory(packageName)
  if (!root) return null
  const version = String(
    (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version?: unknown }).version,
  )
  if (version !== PINNED_PACKAGE_VERSION) {
    throw new NativeLibraryError(
      `${packageName} is version ${version}, but this engine binds version ${PINNED_PACKAGE_VERSION}.`,
      'Run "npm ci" to install the pinned release.',
    )
  }
  const directory = join(root, 'bins', shortName)
  const metadata = JSON.parse(readFileSync(join(directory, '_nlcBuildMetadata.json'), 'utf8')) as {
    buildOptions: { llamaCpp: { release: string } }
  }
  const names = libraryNames(metadata.buildOptions.llamaCpp.release)
  return {
    packageName,
    directory,
    base: join(directory, names.base),
    ggml: join(directory, names.ggml),
    llama: join(directory, names.llama),
  }
}

/**
 * Where this machine's CPU libraries lie.
 *
 * @throws UnsupportedPlatformError if there are none for this system
 */
export function locateLibraries(): LibraryFiles {
  const platform = `${process.platform}-${process.arch}`
  const shortName = cpuPackages[platform]
  if (!shortName) {
    throw new UnsupportedPlatformError(
      `No tensor library is published for ${platform}.`,
      `Use one of ${Object.keys(cpuPackages).join(', ')}.`,
    )
  }
  const files = locate(shortName)
  if (!files) {
    throw new NativeLibraryError(
      `The package @node-llama-cpp/${shortName} with the tensor library for ${platform} is not installed.`,
      'Run "npm ci" without --omit=optional.',
    )
  }
  return files
}

/** Accelerator packages that are installed beside the CPU one. */
export function locateAccelerators(): readonly LibraryFiles[] {
  const names = acceleratorPackages[`${process.platform}-${process.arch}`] ?? []
  return names.map(locate).filter((files) => files !== null)
}

function open(path: string): LibraryHandle {
  try {
    return koffi.load(path)
  } catch (cause) {
    throw new NativeLibraryError(
      `${path} could not be loaded: ${cause instanceof Error ? cause.message : String(cause)}.`,
      'Check that the C++ runtime (libstdc++ 6 on Linux) is installed, then run "npm ci".',
      { cause },
    )
  }
}

/** C types as koffi spells them, with what TypeScript passes for each. */
interface ArgumentTypes {
  'void *': Pointer | ArrayBufferView | null
  int: number
  int64_t: number
  size_t: number
  float: number
  bool: boolean
  str: string
  '_Out_ size_t *': number[]
  ggml_init_params: { mem_size: number; mem_buffer: Pointer | null; no_alloc: boolean }
}
type CType = keyof ArgumentTypes
interface ResultTypes {
  'void *': Pointer
  int: number
  int64_t: number
  size_t: number
  bool: boolean
  str: string
  void: undefined
}
type Arguments<P extends readonly CType[]> = { -readonly [I in keyof P]: ArgumentTypes[P[I]] }
type Native<R extends keyof ResultTypes, P extends readonly CType[]> = KoffiFunc<
  (...parameters: Arguments<P>) => ResultTypes[R]
>

koffi.struct('ggml_init_params', { mem_size: 'size_t', mem_buffer: 'void *', no_alloc: 'bool' })

/** Every C function of ggml that the engine calls, by its C name. */
export type Ggml = ReturnType<typeof bind>

function bind(base: LibraryHandle, ggml: LibraryHandle) {
  const from =
    (library: LibraryHandle) =>
    <const R extends keyof ResultTypes, const P extends readonly CType[]>(
      name: string,
      result: R,
      parameters: P,
    ): Native<R, P> =>
      library.func(name, result, [...parameters]) as unknown as Native<R, P>
  const b = from(base)
  const g = from(ggml)
  const p = 'void *'
  const i64 = 'int64_t'
  const f = 'float'
  const binary = (name: string) => b(name, p, [p, p, p])
  return {
    version: b('ggml_version', 'str', []),
    typeSize: b('ggml_type_size', 'size_t', ['int']),
    blockSize: b('ggml_blck_size', 'int64_t', ['int']),
    tensorOverhead: b('ggml_tensor_overhead', 'size_t', []),
    graphOverheadCustom: b('ggml_graph_overhead_custom', 'size_t', ['size_t', 'bool']),
    logSet: b('ggml_log_set', 'void', [p, p]),

    init: b('ggml_init', p, ['ggml_init_params']),
    free: b('ggml_free', 'void', [p]),
    usedMem: b('ggml_used_mem', 'size_t', [p]),

    newTensor1d: b('ggml_new_tensor_1d', p, [p, 'int', i64]),
    newTensor2d: b('ggml_new_tensor_2d', p, [p, 'int', i64, i64]),
    newTensor4d: b('ggml_new_tensor_4d', p, [p, 'int', i64, i64, i64, i64]),
    elementCount: b('ggml_nelements', 'int64_t', [p]),
    setInput: b('ggml_set_input', 'void', [p]),
    setOutput: b('ggml_set_output', 'void', [p]),

    add: binary('ggml_add'),
    mul: binary('ggml_mul'),
    div: binary('ggml_div'),
    mulMat: binary('ggml_mul_mat'),
    mulMatId: b('ggml_mul_mat_id', p, [p, p, p, p]),
    addId: b('ggml_add_id', p, [p, p, p, p]),
    getRows: binary('ggml_get_rows'),
    setRows: b('ggml_set_rows', p, [p, p, p, p]),
    swigluSplit: binary('ggml_swiglu_split'),
    gegluSplit: binary('ggml_geglu_split'),
    swiglu: b('ggml_swiglu', p, [p, p]),
    swigluOai: b('ggml_swiglu_oai', p, [p, p, p, f, f]),
    sigmoid: b('ggml_sigmoid', p, [p, p]),
    isContiguous: b('ggml_is_contiguous', 'bool', [p]),
    cont: b('ggml_cont', p, [p, p]),
    tanh: b('ggml_tanh', p, [p, p]),
    softMax: b('ggml_soft_max', p, [p, p]),
    argsortTopK: b('ggml_argsort_top_k', p, [p, p, 'int']),
    argmax: b('ggml_argmax', p, [p, p]),
    sumRows: b('ggml_sum_rows', p, [p, p]),
    clamp: b('ggml_clamp', p, [p, p, f, f]),
    scale: b('ggml_scale', p, [p, p, f]),
    scaleBias: b('ggml_scale_bias', p, [p, p, f, f]),
    floor: b('ggml_floor', p, [p, p]),
    log: b('ggml_log', p, [p, p]),
    cast: b('ggml_cast', p, [p, p, 'int']),
    fill: b('ggml_fill', p, [p, p, f]),
    repeat4d: b('ggml_repeat_4d', p, [p, p, i64, i64, i64, i64]),
    rmsNorm: b('ggml_rms_norm', p, [p, p, 'float']),
    concat: b('ggml_concat', p, [p, p, p, 'int']),
    permute: b('ggml_permute', p, [p, p, 'int', 'int', 'int', 'int']),
    cont2d: b('ggml_cont_2d', p, [p, p, i64, i64]),
    reshape2d: b('ggml_reshape_2d', p, [p, p, i64, i64]),
    reshape3d: b('ggml_reshape_3d', p, [p, p, i64, i64, i64]),
    reshape4d: b('ggml_reshape_4d', p, [p, p, i64, i64, i64, i64]),
    view2d: b('ggml_view_2d', p, [p, p, i64, i64, 'size_t', 'size_t']),
    view3d: b('ggml_view_3d', p, [p, p, i64, i64, i64, 'size_t', 'size_t', 'size_t']),
    ropeExt: b('ggml_rope_ext', p, [p, p, p, p, 'int', 'int', 'int', f, f, f, f, f, f]),
    flashAttnExt: b('ggml_flash_attn_ext', p, [p, p, p, p, p, 'float', 'float', 'float']),
    flashAttnExtAddSinks: b('ggml_flash_attn_ext_add_sinks', 'void', [p, p]),
    flashAttnExtSetPrec: b('ggml_flash_attn_ext_set_prec', 'void', [p, 'int']),

    newGraphCustom: b('ggml_new_graph_custom', p, [p, 'size_t', 'bool']),
    buildForwardExpand: b('ggml_build_forward_expand', 'void', [p, p]),
    graphNodeCount: b('ggml_graph_n_nodes', 'int', [p]),
    graphNode: b('ggml_graph_node', p, [p, 'int']),
    graphAddNode: b('ggml_graph_add_node', 'void', [p, p]),
    gallocrNew: b('ggml_gallocr_new', p, [p]),
    gallocrFree: b('ggml_gallocr_free', 'void', [p]),
    gallocrReserve: b('ggml_gallocr_reserve', 'bool', [p, p]),
    gallocrAllocGraph: b('ggml_gallocr_alloc_graph', 'bool', [p, p]),
    gallocrBufferSize: b('ggml_gallocr_get_buffer_size', 'size_t', [p, 'int']),

    bufferTypeAlloc: b('ggml_backend_buft_alloc_buffer', p, [p, 'size_t']),
    bufferTypeAllocSize: b('ggml_backend_buft_get_alloc_size', 'size_t', [p, p]),
    bufferTypeName: b('ggml_backend_buft_name', 'str', [p]),
    bufferTypeIsHost: b('ggml_backend_buft_is_host', 'bool', [p]),
    bufferClear: b('ggml_backend_buffer_clear', 'void', [p, 'int']),
    bufferFree: b('ggml_backend_buffer_free', 'void', [p]),
    bufferBase: b('ggml_backend_buffer_get_base', p, [p]),
    bufferSize: b('ggml_backend_buffer_get_size', 'size_t', [p]),
    bufferSetUsage: b('ggml_backend_buffer_set_usage', 'void', [p, 'int']),
    bufferFromPointer: b('ggml_backend_cpu_buffer_from_ptr', p, [p, 'size_t']),
    allocContextTensors: b('ggml_backend_alloc_ctx_tensors_from_buft', p, [p, p]),
    tensorAlloc: b('ggml_backend_tensor_alloc', 'int', [p, p, p]),
    tensorSet: b('ggml_backend_tensor_set', 'void', [p, 'void *', 'size_t', 'size_t']),
    tensorGet: b('ggml_backend_tensor_get', 'void', [p, 'void *', 'size_t', 'size_t']),

    backendFree: b('ggml_backend_free', 'void', [p]),
    backendDefaultBufferType: b('ggml_backend_get_default_buffer_type', p, [p]),
    graphCompute: b('ggml_backend_graph_compute', 'int', [p, p]),

    deviceName: b('ggml_backend_dev_name', 'str', [p]),
    deviceDescription: b('ggml_backend_dev_description', 'str', [p]),
    deviceMemory: b('ggml_backend_dev_memory', 'void', [p, '_Out_ size_t *', '_Out_ size_t *']),
    deviceType: b('ggml_backend_dev_type', 'int', [p]),
    deviceRegistry: b('ggml_backend_dev_backend_reg', p, [p]),
    deviceInit: b('ggml_backend_dev_init', p, [p, p]),
    deviceSupportsOp: b('ggml_backend_dev_supports_op', 'bool', [p, p]),
    registryProc: b('ggml_backend_reg_get_proc_address', p, [p, 'str']),

    loadBackends: g('ggml_backend_load_all_from_path', 'void', ['str']),
    deviceCount: g('ggml_backend_dev_count', 'size_t', []),
    deviceGet: g('ggml_backend_dev_get', p, ['size_t']),

    quantizeChunk: b('ggml_quantize_chunk', 'size_t', ['int', p, p, i64, i64, i64, p]),
    typeTraits: b('ggml_get_type_traits', p, ['int']),
    /** A function that takes the log level, ignores the rest and does nothing: ggml's logging, silenced. */
    silentLog: base.symbol('ggml_is_quantized') as Pointer,
  }
}

function verify(ggml: Ggml, files: LibraryFiles): void {
  const version = ggml.version()
  if (version !== PINNED_GGML_VERSION) {
    throw new NativeLibraryError(
      `${files.base} is ggml ${version}, but this engine binds ${PINNED_GGML_VERSION}.`,
      'Run "npm ci" to install the pinned release.',
    )
  }
  for (const [name, { id, blockSize, blockBytes }] of Object.entries(tensorTypes)) {
    const size = ggml.typeSize(id)
    const block = ggml.blockSize(id)
    if (size !== blockBytes || block !== blockSize) {
      throw new NativeLibraryError(
        `${files.base} stores ${name} as ${size} bytes per ${block} elements; expected ${blockBytes} per ${blockSize}.`,
        'Run "npm ci" to install the pinned release.',
      )
    }
  }
  const overhead = ggml.tensorOverhead()
  if (overhead !== 368) {
    throw new NativeLibraryError(
      `${files.base} uses ${overhead} bytes per tensor object; expected 368.`,
      'Run "npm ci" to install the pinned release.',
    )
  }
}

// Kept on globalThis: a second copy of this module (another bundle, a test runner's reload) must not
// register the backends of the one native library again.
const registry = Symbol.for('deos.ggml')
type WithGgml = typeof globalThis & { [registry]?: Ggml }

/**
 * Loads the tensor library once per process, checks its version and sizes, and registers its backends.
 *
 * @throws UnsupportedPlatformError, NativeLibraryError
 */
export function loadGgml(): Ggml {
  const shared = globalThis as WithGgml
  if (shared[registry]) return shared[registry]
  const files = locateLibraries()
  const base = open(files.base)
  const ggml = bind(base, open(files.ggml))
  verify(ggml, files)
  ggml.logSet(ggml.silentLog, null)
  for (const { directory } of [files, ...locateAccelerators()]) ggml.loadBackends(directory)
  if (ggml.deviceCount() === 0) {
    throw new NativeLibraryError(
      `No compute backend in ${files.directory} runs on this processor.`,
      'Check "deos doctor" for the instruction sets found.',
    )
  }
  shared[registry] = ggml
  return ggml
}
