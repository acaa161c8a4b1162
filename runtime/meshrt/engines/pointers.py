"""Memory as compiled code sees it: plain pointers, made from the addresses that the state holds.

Indexing an array with a signed integer costs a test for negative indices at every access,
which also keeps loops from being vectorised; indexing a pointer costs nothing.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _cast_to(element: Any) -> Any:
    def cast(typingctx: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(element)(types.int64), generate

    return intrinsic(cast)


#: The records: ``i64_at(address)[i]``.
i64_at = _cast_to(types.int64)
#: Numbers of programs.
f64_at = _cast_to(types.float64)
#: Elements of SRAM and messages as floats, and the same memory as integers.
f32_at = _cast_to(types.float32)
i32_at = _cast_to(types.int32)


def _seen_as(element: Any) -> Any:
    def cast(typingctx: Any, pointer: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(element)(pointer), generate

    return intrinsic(cast)


#: The same memory as i32, or as i64.
integers_of = _seen_as(types.int32)
i64_of = _seen_as(types.int64)


def _prefetch(typingctx: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte_pointer = ir.IntType(8).as_pointer()
        flag = ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [byte_pointer, flag, flag, flag])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte_pointer], function_type)
        pointer = builder.inttoptr(args[0], byte_pointer)
        # For writing, to be kept in all levels, in the data cache.
        builder.call(function, [pointer, flag(1), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


#: Ask for the cache line at an address in bytes; it will be written.
prefetch: Any = intrinsic(_prefetch)


def _first_bit(typingctx: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(0))

    return types.int64(types.int64), generate


#: Number of the lowest bit that is set; 64 where none is.
first_bit: Any = intrinsic(_first_bit)


def _call_at(typingctx: Any, address: Any, a: Any, b: Any, c: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = ir.IntType(64)
        function = builder.inttoptr(args[0], ir.FunctionType(number, [number] * 3).as_pointer())
        return builder.call(function, args[1:])

    return types.int64(types.int64, types.int64, types.int64, types.int64), generate


#: Call a function made by :func:`.compiled.called_by_address`: its address, then its arguments.
call_at: Any = intrinsic(_call_at)


def _count_bits(typingctx: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.int64), generate


#: How many bits are set.
count_bits: Any = intrinsic(_count_bits)
