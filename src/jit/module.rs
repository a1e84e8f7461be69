//! From nests to executable memory, and to text.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cranelift::codegen::Context as Compiler;
use cranelift::codegen::control::ControlPlane;
use cranelift::prelude::*;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, default_libcall_names};

use super::function::emit;
use super::loops::Loops;
use super::schedule::Schedule;
use super::step::{self, Step, StepFunction};
use super::wide::Machine;
use super::{Entry, Function, Range, ranged};
use crate::base::Diagnostic;
use crate::ir::plan::{Buffer, Nest};
use crate::kernels::isa::Isa;

/// Executable code of some nests. Its memory is freed with it.
pub struct Code {
    module: Option<JITModule>,
    entries: Vec<Entry>,
    functions: usize,
}

/// Which text of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Cranelift's intermediate form, before its own optimisation.
    Clif,
    /// Machine instructions.
    Asm,
}

fn fault(error: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::internal("jit", error.to_string())
}

/// Turns a panic of the code generator into a diagnostic.
fn caught<T>(work: impl FnOnce() -> Result<T, Diagnostic>) -> Result<T, Diagnostic> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(fault(text.unwrap_or("the code generator panicked")))
    })
}

fn native() -> Result<isa::OwnedTargetIsa, Diagnostic> {
    let mut flags = settings::builder();
    let wanted = [
        ("opt_level", "speed"),
        ("enable_verifier", "true"),
        ("use_colocated_libcalls", "false"),
        ("is_pic", "false"),
        ("unwind_info", "false"),
    ];
    for (name, value) in wanted {
        flags.set(name, value).map_err(fault)?;
    }
    let builder = cranelift_native::builder().map_err(fault)?;
    builder.finish(settings::Flags::new(flags)).map_err(fault)
}

fn signature(isa: &dyn isa::TargetIsa) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.extend([AbiParam::new(types::I64); 4]);
    signature
}

/// A nest brought into normal form, with the range that its function takes.
fn prepare(nest: &Nest, buffers: &[Buffer]) -> Result<(Loops, Schedule, Option<Range>), Diagnostic> {
    let loops = Loops::new(nest, buffers)?;
    let schedule = Schedule::new(&loops);
    let range = ranged(&loops, &schedule);
    Ok((loops, schedule, range))
}

impl Code {
    /// Compiles these nests, whose accesses are to these buffers, for vectors of an instruction set.
    ///
    /// # Errors
    /// A nest that breaks the rules of its type, or a fault of the code generator; both are internal.
    pub fn compile(nests: &[&Nest], buffers: &[Buffer], isa: Isa) -> Result<Code, Diagnostic> {
        let mut code = Code { module: None, entries: Vec::new(), functions: 0 };
        if nests.is_empty() {
            return Ok(code);
        }
        caught(|| {
            let module = JITModule::new(JITBuilder::with_isa(native()?, default_libcall_names()));
            let module = code.module.insert(module);
            let mut compiler = module.make_context();
            let mut builders = FunctionBuilderContext::new();
            let mut known: HashMap<Loops, FuncId> = HashMap::new();
            let mut defined: Vec<(FuncId, Option<Range>)> = Vec::new();
            for nest in nests {
                let (loops, schedule, range) = prepare(nest, buffers)?;
                let id = match known.get(&loops) {
                    Some(id) => *id,
                    None => {
                        compiler.func.signature = signature(module.isa());
                        let name = format!("nest{}", known.len());
                        let id = module
                            .declare_function(&name, Linkage::Local, &compiler.func.signature)
                            .map_err(fault)?;
                        match Machine::new(&loops, &schedule, isa) {
                            Some(machine) => module
                                .define_function_bytes(id, 64, machine.bytes(), &[])
                                .map_err(|error| fault(format!("{error:?}")))?,
                            None => {
                                let config = module.target_config();
                                emit(&mut compiler.func, &mut builders, &loops, &schedule, config);
                                module
                                    .define_function(id, &mut compiler)
                                    .map_err(|error| fault(format!("{error:?}")))?;
                            }
                        }
                        module.clear_context(&mut compiler);
                        known.insert(loops, id);
                        id
                    }
                };
                defined.push((id, range));
            }
            module.finalize_definitions().map_err(fault)?;
            code.functions = known.len();
            code.entries = defined
                .into_iter()
                .map(|(id, range)| {
                    let address = module.get_finalized_function(id);
                    // SAFETY: the function was generated with just this signature and calling convention.
                    let function = unsafe { std::mem::transmute::<*const u8, Function>(address) };
                    Entry { function, range }
                })
                .collect();
            Ok(())
        })?;
        Ok(code)
    }

    /// The functions, in the order of the nests they were compiled from.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many different functions there are.
    pub fn functions(&self) -> usize {
        self.functions
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: entries are only called by the owner of this code, which is being dropped.
            unsafe { module.free_memory() };
        }
    }
}

/// Executable code of a whole step. Its memory is freed with it.
pub struct StepCode {
    module: Option<JITModule>,
    function: StepFunction,
}

impl StepCode {
    /// Compiles a step, whose accesses are to these buffers.
    ///
    /// # Errors
    /// As [`Code::compile`].
    pub fn compile(step: &Step, buffers: &[Buffer]) -> Result<StepCode, Diagnostic> {
        caught(|| {
            let mut module = JITModule::new(JITBuilder::with_isa(native()?, default_libcall_names()));
            let mut compiler = module.make_context();
            step_body(&mut compiler, module.isa(), step, buffers)?;
            let id = module.declare_function("step", Linkage::Local, &compiler.func.signature);
            let id = id.map_err(fault)?;
            let defined = module.define_function(id, &mut compiler);
            defined.map_err(|error| fault(format!("{error:?}")))?;
            module.finalize_definitions().map_err(fault)?;
            let address = module.get_finalized_function(id);
            // SAFETY: the function was generated with just this signature and calling convention.
            let function = unsafe { std::mem::transmute::<*const u8, StepFunction>(address) };
            Ok(StepCode { module: Some(module), function })
        })
    }

    /// The function.
    pub fn function(&self) -> StepFunction {
        self.function
    }
}

/// Generates a step with its signature.
fn step_body(
    compiler: &mut Compiler,
    isa: &dyn isa::TargetIsa,
    step: &Step,
    buffers: &[Buffer],
) -> Result<(), Diagnostic> {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.push(AbiParam::new(types::I64));
    compiler.func.signature = signature.clone();
    let mut host = signature;
    host.params.push(AbiParam::new(types::I64));
    host.returns.push(AbiParam::new(types::I64));
    let (builders, config) = (&mut FunctionBuilderContext::new(), isa.frontend_config());
    step::emit(&mut compiler.func, builders, step, buffers, host, config)
}

impl Drop for StepCode {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: the function is only called by the owner of this code, which is being dropped.
            unsafe { module.free_memory() };
        }
    }
}

/// The text of each nest's function under its name.
///
/// # Errors
/// As [`Code::compile`].
pub fn dump(nests: &[(&str, &Nest)], buffers: &[Buffer], stage: Stage) -> Result<String, Diagnostic> {
    caught(|| {
        let isa = native()?;
        let mut builders = FunctionBuilderContext::new();
        let mut known: HashMap<Loops, &str> = HashMap::new();
        let mut text = String::new();
        for (name, nest) in nests {
            let (loops, schedule, _) = prepare(nest, buffers)?;
            if let Some(same) = known.get(&loops) {
                text.push_str(&format!("; {name}: the code of {same}\n\n"));
                continue;
            }
            text.push_str(&format!("; {name}\n"));
            let wide =
                if stage == Stage::Asm { Machine::new(&loops, &schedule, Isa::current()) } else { None };
            match wide {
                Some(machine) => text.push_str(&machine.text()),
                None => {
                    let mut compiler = Compiler::new();
                    compiler.func.signature = signature(isa.as_ref());
                    emit(&mut compiler.func, &mut builders, &loops, &schedule, isa.frontend_config());
                    text.push_str(&shown(&mut compiler, isa.as_ref(), stage)?);
                }
            }
            text.push('\n');
            known.insert(loops, name);
        }
        Ok(text)
    })
}

/// The instructions of a nest for wide vectors, also where this processor has none; `None` for a nest that is
/// always left to Cranelift.
///
/// # Errors
/// As [`Code::compile`].
pub fn dump_wide(nest: &Nest, buffers: &[Buffer], isa: Isa) -> Result<Option<String>, Diagnostic> {
    let (loops, schedule, _) = prepare(nest, buffers)?;
    Ok(Machine::of(&loops, &schedule, isa).map(|machine| machine.text()))
}

/// The text of a step's function.
///
/// # Errors
/// As [`StepCode::compile`].
pub fn dump_step(step: &Step, buffers: &[Buffer], stage: Stage) -> Result<String, Diagnostic> {
    caught(|| {
        let isa = native()?;
        let mut compiler = Compiler::new();
        step_body(&mut compiler, isa.as_ref(), step, buffers)?;
        shown(&mut compiler, isa.as_ref(), stage)
    })
}

fn shown(compiler: &mut Compiler, isa: &dyn isa::TargetIsa, stage: Stage) -> Result<String, Diagnostic> {
    match stage {
        Stage::Clif => Ok(compiler.func.display().to_string()),
        Stage::Asm => {
            compiler.set_disasm(true);
            let code = compiler
                .compile(isa, &mut ControlPlane::default())
                .map_err(|error| fault(format!("{:?}", error.inner)))?;
            Ok(code.vcode.clone().unwrap_or_default())
        }
    }
}
