# A machine that tries KVM (`probing`): from real mode to long mode with paging, SSE, cmpxchg16b and a moment of work,
# then K on the serial line. What it does, each kernel does as it starts.
#     as --64 -o trial.o trial.s && ld -m elf_x86_64 -Ttext 0 --oformat binary -o trial.bin trial.o
.code16
.org 0
    cli
    xor %ax,%ax
    mov %ax,%ds
    mov %ax,%es
    mov %ax,%ss
    mov $0x7000,%sp
# page tables at 0x1000: PML4 -> 0x2000: PDPT -> 0x3000: PD with 2 MiB pages
    mov $0x1000,%di
    xor %eax,%eax
    mov $0xC00,%cx
    cld
    rep stosl
    movl $0x2003,0x1000
    movl $0x3003,0x2000
    movl $0x83,0x3000
    mov %cr4,%eax
    or $0x620,%eax        # PAE, OSFXSR, OSXMMEXCPT
    mov %eax,%cr4
    mov $0x1000,%eax
    mov %eax,%cr3
    mov $0xC0000080,%ecx
    rdmsr
    or $0x101,%eax        # LME, SCE
    wrmsr
    mov %cr0,%eax
    or $0x80000003,%eax   # PG, MP, PE
    and $0xfffffffb,%eax  # EM off
    mov %eax,%cr0
    lgdtw 0x7c00+gdtr
    ljmpl $8,$(0x7c00+long)
.code64
long:
    mov $16,%eax
    mov %eax,%ds
    mov %eax,%es
    mov %eax,%ss
    mov $0x7000,%esp
    xor %eax,%eax
    cpuid
    movd %eax,%xmm0
    pshufd $0,%xmm0,%xmm1
    paddq %xmm0,%xmm1
    movaps %xmm1,0x6000
    mulsd %xmm1,%xmm0
    fxsave 0x6200
    mov $0x6100,%edi
    lock cmpxchg16b (%rdi)
    lock xadd %rax,(%rdi)
    rdtsc
    mov $20000000,%ecx    # work: a moment natively, long when each instruction is emulated
1:  add %rcx,%rax
    imul $3,%rax,%rax
    xor %rdx,%rax
    push %rax
    pop %rbx
    dec %ecx
    jnz 1b
    mov $0x3f8,%edx
    mov $'K',%al
    out %al,%dx
2:  hlt
    jmp 2b
.align 8
gdt: .quad 0
    .quad 0x00209a0000000000
    .quad 0x0000920000000000
gdtr: .word gdtr-gdt-1
    .long 0x7c00+gdt
.org 510
    .word 0xaa55
