/* A slave on libmodbus for the tests: slave rtu PORT | tcp PORT, then unit and delay in ms (random from 0 to twice of it).
   Input and holding registers hold unit * 1000 + address. Prints "ready" (TCP: the port number) and serves until killed. */
#include <errno.h>
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 5) return 2;
    int tcp = !strcmp(argv[1], "tcp"), unit = atoi(argv[3]), delay_ms = atoi(argv[4]), listening = -1;
    modbus_t *ctx = tcp ? modbus_new_tcp("127.0.0.1", atoi(argv[2])) : modbus_new_rtu(argv[2], 115200, 'N', 8, 1);
    modbus_mapping_t *map = modbus_mapping_new(16, 16, 1000, 1000);
    if (!ctx || !map || modbus_set_slave(ctx, unit)) return 3;
    for (int n = 0; n < 1000; n++) map->tab_registers[n] = map->tab_input_registers[n] = unit * 1000 + n;
    map->tab_bits[3] = map->tab_bits[9] = 1;
    if (tcp) {
        listening = modbus_tcp_listen(ctx, 4);
        if (listening < 0) return 4;
        printf("ready\n");
        fflush(stdout);
        if (modbus_tcp_accept(ctx, &listening) < 0) return 5;
    } else {
        if (modbus_connect(ctx)) return 6;
        printf("ready\n");
        fflush(stdout);
    }
    srand(1);
    for (;;) {
        uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
        int size = modbus_receive(ctx, query);
        if (size > 0) {
            if (delay_ms) usleep(1000 * (rand() % (2 * delay_ms + 1)));
            modbus_reply(ctx, query, size, map);
        } else if (size < 0 && tcp) {
            if (modbus_tcp_accept(ctx, &listening) < 0) return 7;
        } else if (size < 0 && errno == EIO) {
            return 8;
        }
    }
}
