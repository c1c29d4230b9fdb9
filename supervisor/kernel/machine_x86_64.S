# go(program, at, count, slots): carries out the calls of a program of kernel/program.py, from the one at `at` on,
# until one is not as expected; returns its position, `count` when all were. By the C calling convention.
# A call is twelve 64-bit words: number, six arguments, which of them are slots, slot of the result, expected
# result, expected error, how many calls are passed over by that error.
# Assembled into supervisor/kernel/machine.py.

        .intel_syntax noprefix
go:     push    rbx
        push    rbp
        push    r12
        push    r13
        push    r14
        mov     rbx, rdi                # program
        mov     rbp, rsi                # at
        mov     r12, rdx                # count
        mov     r13, rcx                # slots

next:   cmp     rbp, r12
        jae     out
        imul    r14, rbp, 96
        add     r14, rbx
        mov     rdi, [r14 + 8]
        mov     rsi, [r14 + 16]
        mov     rdx, [r14 + 24]
        mov     r10, [r14 + 32]
        mov     r8, [r14 + 40]
        mov     r9, [r14 + 48]
        mov     rax, [r14 + 56]         # an argument that is a slot is what is in it
        test    al, 1
        jz      1f
        mov     rdi, [r13 + rdi * 8]
1:      test    al, 2
        jz      1f
        mov     rsi, [r13 + rsi * 8]
1:      test    al, 4
        jz      1f
        mov     rdx, [r13 + rdx * 8]
1:      test    al, 8
        jz      1f
        mov     r10, [r13 + r10 * 8]
1:      test    al, 16
        jz      1f
        mov     r8, [r13 + r8 * 8]
1:      test    al, 32
        jz      1f
        mov     r9, [r13 + r9 * 8]
1:      mov     rax, [r14]
        test    rax, rax                # a number below 0: not a call for us
        js      out
        syscall
        test    rax, rax
        js      failed
        mov     rcx, [r14 + 72]         # expected, below 0: any
        test    rcx, rcx
        js      keep
        cmp     rax, rcx
        jne     stop
keep:   mov     rcx, [r14 + 64]
        mov     [r13 + rcx * 8], rax
        inc     rbp
        jmp     next

failed: mov     rcx, rax                # with the error that was expected: past what belongs to it
        neg     rcx
        cmp     rcx, [r14 + 80]
        jne     stop
        add     rbp, [r14 + 88]
        inc     rbp
        jmp     next

stop:   mov     [r13], rax              # slot 0: the result, -errno
out:    mov     rax, rbp
        pop     r14
        pop     r13
        pop     r12
        pop     rbp
        pop     rbx
        ret
